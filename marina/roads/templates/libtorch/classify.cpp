// Says what an exported network makes of an image or of a tensor: without Python, without a server.
//
//   classify FOLDER INPUT [--top N] [--outputs FILE]
//
// FOLDER   what scripts/export_model.py --to libtorch wrote: model.txt, labels.txt and the network
// INPUT    *.tensor: little-endian float32 of the network's input, one row after the other, as sample.tensor is;
//          *.ppm, *.pgm (P6, P5) or *.png where the network was exported --with-preprocessing
// --outputs FILE   writes all outputs of the network as float32, one after the other

#include <ATen/Context.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/script.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef WITH_PNG
#include <png.h>
#endif

namespace {

namespace fs = std::filesystem;
using torch::Tensor;

struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Description {  // model.txt: a word and its value a line
  std::string file, method = "forward", takes = "tensor";
  std::vector<int64_t> shape;  // of one row
  bool softmax = false;
  int64_t seed = 0;
  std::vector<std::string> labels;
};

struct Command {
  fs::path folder, input, outputs;
  int64_t top = 5;
};

std::ifstream opened(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Refusal(path.string() + ": cannot be read");
  return file;
}

Description described(const fs::path& folder) {
  Description model;
  std::ifstream file = opened(folder / "model.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == "file") words >> model.file;
    if (key == "method") words >> model.method;
    if (key == "takes") words >> model.takes;
    if (key == "softmax") words >> model.softmax;
    if (key == "seed") words >> model.seed;
    if (key == "shape")
      for (int64_t size; words >> size;) model.shape.push_back(size);
  }
  std::ifstream labels(folder / "labels.txt");
  for (std::string label; std::getline(labels, label);) model.labels.push_back(label);
  return model;
}

Tensor read_tensor(const fs::path& path, const Description& model) {
  int64_t row = sizeof(float);
  for (int64_t size : model.shape) row *= size;
  const int64_t bytes = static_cast<int64_t>(fs::file_size(path));
  if (bytes == 0 || bytes % row)
    throw Refusal(path.string() + ": has " + std::to_string(bytes) + " bytes; a row is " + std::to_string(row));
  std::vector<int64_t> shape = {bytes / row};
  shape.insert(shape.end(), model.shape.begin(), model.shape.end());
  Tensor values = torch::empty(shape);
  opened(path).read(static_cast<char*>(values.data_ptr()), bytes);
  return values;
}

Tensor planes(const std::vector<unsigned char>& pixels, int64_t height, int64_t width, int64_t channels) {
  Tensor image = torch::empty({height, width, channels}, torch::kUInt8);
  std::copy(pixels.begin(), pixels.end(), image.data_ptr<unsigned char>());
  return image.permute({2, 0, 1}).unsqueeze(0).contiguous();
}

Tensor read_netpbm(const fs::path& path) {
  std::ifstream file = opened(path);
  std::string magic;
  int64_t width = 0, height = 0, most = 0;
  file >> magic;
  for (int64_t* number : {&width, &height, &most}) {
    while (file >> std::ws && file.peek() == '#') file.ignore(1 << 20, '\n');
    file >> *number;
  }
  file.get();  // one white space
  const int64_t channels = magic == "P6" ? 3 : magic == "P5" ? 1 : 0;
  if (!file || !channels || most != 255 || width < 1 || height < 1 || width * height > 50'000'000)
    throw Refusal(path.string() + ": required P6 or P5 of 8 bits and at most 50 megapixels");
  std::vector<unsigned char> pixels(width * height * channels);
  file.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
  if (!file) throw Refusal(path.string() + ": ends before its last pixel");
  return planes(pixels, height, width, channels);
}

Tensor read_png([[maybe_unused]] const fs::path& path, [[maybe_unused]] int64_t channels) {
#ifdef WITH_PNG
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_file(&image, path.c_str())) throw Refusal(path.string() + ": " + image.message);
  image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  std::vector<unsigned char> pixels(PNG_IMAGE_SIZE(image));
  const png_color white = {255, 255, 255};
  if (!png_image_finish_read(&image, &white, pixels.data(), 0, nullptr)) throw Refusal(path.string() + ": " + image.message);
  return planes(pixels, image.height, image.width, channels);
#else
  throw Refusal(path.string() + ": this program was built without libpng: convert it to .ppm, or install libpng-dev and build again");
#endif
}

Tensor read_input(const fs::path& path, const Description& model) {
  if (!fs::is_regular_file(path)) throw Refusal(path.string() + ": no such file");
  if (path.extension() == ".tensor") {
    if (model.takes != "tensor") throw Refusal(path.string() + ": this network takes pixels: give it a picture");
    return read_tensor(path, model);
  }
  if (model.takes != "pixels") throw Refusal(path.string() + ": this network takes a .tensor: export it --with-preprocessing for pictures");
  const Tensor pixels = path.extension() == ".png" ? read_png(path, model.shape[0]) : read_netpbm(path);
  if (pixels.size(1) != model.shape[0])
    throw Refusal(path.string() + ": has " + std::to_string(pixels.size(1)) + " channels; required " + std::to_string(model.shape[0]));
  return pixels;
}

void collect(const c10::IValue& value, std::vector<Tensor>& outputs) {
  if (value.isTensor()) {
    outputs.push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const c10::IValue& part : value.toTupleRef().elements()) collect(part, outputs);
  } else if (value.isTensorList()) {
    for (const Tensor& part : value.toTensorVector()) outputs.push_back(part);
  } else {
    throw Refusal("the network gives neither a tensor nor a tuple of tensors");
  }
}

std::vector<Tensor> run(const Description& model, const fs::path& folder, const Tensor& input) {
  const c10::InferenceMode guard;
  const fs::path file = folder / model.file;
  if (file.extension() == ".pt2") {
    torch::inductor::AOTIModelPackageLoader compiled(file.string());
    at::manual_seed(model.seed);  // what a network draws at random is drawn as in Python
    return compiled.run({input});
  }
  torch::jit::Module module = torch::jit::load(file.string());
  module.eval();
  at::manual_seed(model.seed);
  std::vector<Tensor> outputs;
  collect(module.get_method(model.method)({input}), outputs);
  return outputs;
}

void print_classes(const Description& model, const Tensor& output, int64_t top) {
  if (output.dim() != 2) throw Refusal("the output has no classes: write it with --outputs FILE");
  const Tensor probabilities = model.softmax ? output.softmax(1) : output;
  for (int64_t row = 0; row < probabilities.size(0); ++row) {
    const auto [values, indices] = probabilities[row].topk(std::min(top, probabilities.size(1)));
    for (int64_t place = 0; place < values.size(0); ++place) {
      const int64_t index = indices[place].item<int64_t>();
      const bool named = index < static_cast<int64_t>(model.labels.size());
      std::cout << row << '\t' << (named ? model.labels[index] : std::to_string(index)) << '\t' << values[place].item<float>() << '\n';
    }
  }
}

void write(const std::vector<Tensor>& outputs, const fs::path& path) {
  std::ofstream file(path, std::ios::binary);
  for (const Tensor& output : outputs) {
    const Tensor values = output.to(torch::kFloat).contiguous();
    file.write(static_cast<const char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
  }
  if (!file.flush()) throw Refusal(path.string() + ": cannot be written");
}

Command read_command(const std::vector<std::string>& given) {
  const std::string usage = "usage: classify FOLDER INPUT [--top N] [--outputs FILE]";
  if (given.size() < 2 || given.size() % 2) throw Refusal(usage);
  Command command{given[0], given[1], {}, 5};
  for (size_t at = 2; at < given.size(); at += 2) {
    if (given[at] == "--top") {
      command.top = std::stoll(given[at + 1]);
    } else if (given[at] == "--outputs") {
      command.outputs = given[at + 1];
    } else {
      throw Refusal(usage);
    }
  }
  return command;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    const Command command = read_command({arguments + 1, arguments + count});
    const Description model = described(command.folder);
    const std::vector<Tensor> outputs = run(model, command.folder, read_input(command.input, model));
    if (!command.outputs.empty()) write(outputs, command.outputs);
    print_classes(model, outputs.front(), command.top);
    return 0;
  } catch (const std::exception& error) {
    std::string reason = error.what();
    std::cerr << "error: " << reason.substr(0, reason.find('\n')) << '\n';
    return 1;
  }
}
