// What our dashboards must be, in Grafana's own types: @grafana/schema 13.2.3 (Apache-2.0), which Grafana Labs publishes on npm.
// dashboard.schema.json is made of this file, in a folder that holds it and nothing else:
//
//   npm install @grafana/schema@13.2.3 ts-json-schema-generator@2.3.0
//   echo '{"compilerOptions": {"module": "esnext", "moduleResolution": "bundler", "target": "es2020", "strict": true,
//           "skipLibCheck": true, "types": []}, "include": ["dashboard.ts"]}' > tsconfig.json
//   npx ts-json-schema-generator --path dashboard.ts --tsconfig tsconfig.json --type CheckedDashboard --no-type-check --minify
//
// and its descriptions are left out. Grafana's own type leaves a panel's options and a target's query open; here they are closed.
import * as d from "./node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen";
import * as timeseries from "./node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";
import * as stat from "./node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
import * as table from "./node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen";
import * as text from "./node_modules/@grafana/schema/dist/types/raw/composable/text/panelcfg/x/types.gen";
import * as bargauge from "./node_modules/@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen";
import * as statetimeline from "./node_modules/@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen";
import * as heatmap from "./node_modules/@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/types.gen";
import { GraphFieldConfig, TableFieldOptions } from "./node_modules/@grafana/schema/dist/types/common/common.gen";

type Checked<Kind, Options, Custom> = Omit<d.Panel, "type" | "options" | "fieldConfig" | "targets"> & {
  type: Kind;
  targets: CheckedQuery[];
  options?: Partial<Options>;
  fieldConfig?: {
    defaults: Omit<d.FieldConfig, "custom"> & { custom?: Partial<Custom> };
    overrides: Array<{ matcher: d.MatcherConfig; properties: Array<{ id: string; value?: unknown }> }>;
  };
};
type CheckedPanel =
  | Checked<"timeseries", timeseries.Options, GraphFieldConfig>
  | Checked<"stat", stat.Options, {}>
  | Checked<"table", table.Options, TableFieldOptions>
  | Checked<"text", text.Options, {}>
  | Checked<"bargauge", bargauge.Options, {}>
  | Checked<"state-timeline", statetimeline.Options, statetimeline.FieldConfig>
  | Checked<"heatmap", heatmap.Options, heatmap.FieldConfig>
  | d.RowPanel;
// Grafana's own comment in the schema says that an annotation's target should be a query of its data source, as it is in fact.
type CheckedAnnotation = Omit<d.AnnotationQuery, "target"> & {
  target: { refId: string; expr: string; interval?: string };
  titleFormat?: string;
  textFormat?: string;
};
type CheckedQuery = {
  refId: string;
  expr: string;
  legendFormat: string;
  format: "time_series" | "heatmap" | "table";
  range?: boolean;
  instant?: boolean;
  datasource: d.DataSourceRef;
};
export type CheckedDashboard = Omit<d.Dashboard, "panels" | "annotations"> & {
  panels: CheckedPanel[];
  annotations: { list: CheckedAnnotation[] };
};
