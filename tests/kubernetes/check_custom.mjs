// The objects of operators, as their own schemas have them (npm: types and required keys; an unknown key is not noticed).
//   npm install --no-save @kubernetes-models/keda@0.4.2 @kubernetes-models/prometheus-operator@6.0.0 yaml
//   node check_custom.mjs manifests/scaling.yaml manifests/watching.yaml
import {readFileSync} from "node:fs";
import {parseAllDocuments} from "yaml";
import {ScaledObject} from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import {ServiceMonitor} from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";
import {PrometheusRule} from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
const kinds = {ScaledObject, ServiceMonitor, PrometheusRule};
for (const file of process.argv.slice(2)) for (const doc of parseAllDocuments(readFileSync(file, "utf8"))) {
  const one = doc.toJSON(); if (!(one.kind in kinds)) continue;
  try { new kinds[one.kind](one).validate(); console.log("ok", one.kind, one.metadata.name); } catch (e) { console.log("BAD", one.kind, one.metadata.name, e.message); process.exitCode = 1; }
}
