// Runs a posewright model file on one picture with OpenVINO, prints the keypoints as one line of JSON, and measures itself.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <openvino/frontend/manager.hpp>
#include <openvino/openvino.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "crop.hpp"
#include "decode.hpp"
#include "json.hpp"
#include "picture.hpp"

namespace fs = std::filesystem;

namespace {

const char* const usage =
    "usage: pose -m MODEL -i PICTURE [options]\n"
    "\n"
    "  -m, --model FILE      a model file: MODEL.onnx, or an OpenVINO folder written by posewright export\n"
    "  -i, --image FILE      a JPEG or PNG picture\n"
    "  -b, --box X0,Y0,X1,Y1 where the object is, in pixels; the whole picture unless given; may be repeated\n"
    "  -t, --threads N       processor threads; OpenVINO's own choice unless given\n"
    "  -w, --warmup N        runs before those that are timed (2)\n"
    "  -c, --count N         timed runs (1)\n"
    "  -f, --allow_fp16 0|1  let the device compute in bf16 or fp16 where it has it (0)\n"
    "  -d, --device NAME     CPU, GPU, NPU or AUTO (CPU)\n"
    "  -v, --verbose         also print each keypoint with its name on stderr\n";

struct Options {
    std::string model, image, device = "CPU";
    std::vector<Box> boxes;
    int threads = 0, warmup = 2, count = 1;
    bool low_precision = false, verbose = false;
};

int whole_number(const std::string& text, const std::string& flag, int least) {
    std::size_t used = 0;
    int value = 0;
    try {
        value = std::stoi(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || used != text.size() || value < least) {
        throw std::runtime_error(flag + " takes a whole number from " + std::to_string(least) + " on, not '" + text + "'");
    }
    return value;
}

Box box_of(const std::string& text) {
    Box box{};
    int used = 0;
    const int found = std::sscanf(text.c_str(), "%lf,%lf,%lf,%lf%n", &box.x0, &box.y0, &box.x1, &box.y1, &used);
    const bool finite = std::isfinite(box.x0 + box.y0 + box.x1 + box.y1);
    if (found != 4 || used != int(text.size()) || !finite || !(box.x1 > box.x0 && box.y1 > box.y0)) {
        throw std::runtime_error("a box is X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1, not '" + text + "'");
    }
    return box;
}

// Nothing where the usage was asked for.
std::optional<Options> read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string flag = argv[i];
        const auto is = [&](const char* brief, const char* full) { return flag == brief || flag == full; };
        const auto value = [&]() -> std::string {
            if (i + 1 >= argc) throw std::runtime_error(flag + " needs a value");
            return argv[++i];
        };
        if (is("-h", "--help")) return std::nullopt;
        if (is("-m", "--model")) options.model = value();
        else if (is("-i", "--image")) options.image = value();
        else if (is("-b", "--box")) options.boxes.push_back(box_of(value()));
        else if (is("-t", "--threads")) options.threads = whole_number(value(), flag, 1);
        else if (is("-w", "--warmup")) options.warmup = whole_number(value(), flag, 0);
        else if (is("-c", "--count")) options.count = whole_number(value(), flag, 1);
        else if (is("-f", "--allow_fp16")) options.low_precision = whole_number(value(), flag, 0) != 0;
        else if (is("-d", "--device")) options.device = value();
        else if (is("-v", "--verbose")) options.verbose = true;
        else throw std::runtime_error("unknown option '" + flag + "'; --help lists them");
    }
    if (options.model.empty() || options.image.empty()) throw std::runtime_error("needs -m MODEL and -i PICTURE");
    return options;
}

// A model with its description: the JSON entry "posewright", which says everything that a runtime must know.
struct Model {
    std::shared_ptr<ov::Model> net;
    Json about;
};

Model read_model(ov::Core& core, const std::string& path) {
    Model model;
    std::string text;
    try {
        if (fs::is_directory(path)) {
            for (const auto& part : fs::directory_iterator(path)) {
                if (part.path().extension() == ".xml") model.net = core.read_model(part.path().string());
            }
            std::ifstream file(fs::path(path) / "posewright.json");
            text.assign(std::istreambuf_iterator<char>(file), {});
        } else if (fs::is_regular_file(path) && fs::path(path).extension() == ".onnx") {
            // Of Core::read_model every other front end has its say on a damaged file, too.
            const auto onnx = ov::frontend::FrontEndManager().load_by_framework("onnx");
            model.net = onnx->convert(onnx->load(path));
            // OpenVINO keeps an ONNX file's metadata_props under "framework".
            if (model.net->has_rt_info("framework", "posewright")) {
                text = model.net->get_rt_info<std::string>("framework", "posewright");
            }
        } else {
            throw std::runtime_error(path + ": is neither a .onnx file nor an OpenVINO folder");
        }
    } catch (const ov::Exception&) {
        throw std::runtime_error(path + ": is no whole model file, or one of another kind");
    }
    if (!model.net || text.empty()) throw std::runtime_error(path + ": is not a posewright model file");
    model.about = Json::parse(text);
    if (model.about["format_version"].number() != 1) throw std::runtime_error(path + ": is of another format version");
    if (model.about["kind"].string != "keypoints") throw std::runtime_error(path + ": is not a keypoint model");
    return model;
}

// For who decodes the maps himself: what makes a peak's height a calibrated score.
double calibrated(double height, const Json& about, std::size_t k) {
    if (!about.has("score_curve")) return height;
    const Json& curve = about["score_curve"];
    const double s = std::clamp(height, 1e-6, 1 - 1e-6);
    const double z = curve["rise"].number() * std::log(s) - curve["fall"].number() * std::log1p(-s) +
                     curve["offset"].items.at(k).number();
    return 1 / (1 + std::exp(-z));
}

// The keypoints, in crop pixels, of a run that has ended.
std::vector<Keypoint> keypoints_of(ov::InferRequest& run, const Json& about, bool decoded) {
    const std::size_t count = about["skeleton"]["keypoints"].items.size();
    std::vector<Keypoint> points(count);
    const ov::Tensor found = run.get_tensor(decoded ? "keypoints" : "heatmaps");
    const ov::Shape shape = found.get_shape();
    const float* data = found.data<const float>();
    if (decoded) {
        if (shape != ov::Shape{1, count, 3}) throw std::runtime_error("the model's keypoints are not those it describes");
        for (std::size_t k = 0; k < count; ++k) points[k] = {data[3 * k], data[3 * k + 1], data[3 * k + 2]};
        return points;
    }
    // [1, stages, keypoints (and background), rows, columns]
    if (shape.size() != 5 || shape[1] < 1 || shape[2] < count) {
        throw std::runtime_error("the model's heat maps are not those it describes");
    }
    const Decoding how = Decoding::from(about);
    const int rows = int(shape[3]), columns = int(shape[4]);
    const float* last = data + (shape[1] - 1) * shape[2] * shape[3] * shape[4];
    for (std::size_t k = 0; k < count; ++k) {
        points[k] = decode(last + k * shape[3] * shape[4], rows, columns, how);
        points[k].score = calibrated(points[k].score, about, k);
    }
    return points;
}

std::string quoted(const std::string& text) {
    std::ostringstream out;
    out << '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') out << '\\' << c;
        else if (static_cast<unsigned char>(c) < 0x20) out << "\\u00" << "01"[c >> 4] << "0123456789abcdef"[c & 15];
        else out << c;
    }
    out << '"';
    return out.str();
}

double quantile(std::vector<double> values, double share) {
    std::sort(values.begin(), values.end());
    const double at = share * double(values.size() - 1);
    const std::size_t low = std::size_t(at), high = std::min(low + 1, values.size() - 1);
    return values[low] + (values[high] - values[low]) * (at - double(low));
}

void run(const Options& options) {
    ov::Core core;
    Model model = read_model(core, options.model);
    const CropRule rule = CropRule::from(model.about["crop"]);
    const Picture picture = read_picture(options.image);

    std::vector<std::string> outputs;
    for (const Json& name : model.about["outputs"].items) outputs.push_back(name.string);
    const auto has = [&](const char* name) { return std::find(outputs.begin(), outputs.end(), name) != outputs.end(); };
    const std::size_t height = std::size_t(rule.height), width = std::size_t(rule.width);
    model.net->reshape({{"image", ov::PartialShape{1, rule.height, rule.width, 3}}});

    ov::AnyMap settings{ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
    if (options.threads) settings.insert(ov::inference_num_threads(options.threads));
    if (!options.low_precision) settings.insert(ov::hint::inference_precision(ov::element::f32));
    ov::InferRequest request = core.compile_model(model.net, options.device, settings).create_infer_request();

    const Box whole{-0.5, -0.5, picture.width - 0.5, picture.height - 0.5};
    const bool boxed = !options.boxes.empty();
    std::vector<double> times;
    std::ostringstream out;
    out.setf(std::ios::fixed);
    out.precision(4);
    out << "{\"source\": " << quoted(options.image) << ", \"width\": " << picture.width << ", \"height\": " << picture.height
        << ", \"skeleton\": " << quoted(model.about["skeleton"]["name"].string) << ", \"poses\": [";
    const std::vector<Box> boxes = boxed ? options.boxes : std::vector<Box>{whole};
    for (std::size_t n = 0; n < boxes.size(); ++n) {
        const Map map = crop_map(boxes[n], rule, boxed ? rule.margin : 1.0);
        std::vector<std::uint8_t> crop = cut_crop(picture, map, rule);
        request.set_tensor("image", ov::Tensor(ov::element::u8, {1, height, width, 3}, crop.data()));
        for (int i = -options.warmup; i < options.count; ++i) {
            const auto start = std::chrono::steady_clock::now();
            request.infer();
            const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
            if (i >= 0) times.push_back(spent.count());
        }
        const std::vector<Keypoint> points = keypoints_of(request, model.about, has("keypoints"));
        double mean = 0;
        for (const Keypoint& p : points) mean += p.score / double(points.size());
        const double presence = has("presence") ? request.get_tensor("presence").data<const float>()[0] : mean;
        const Box& b = boxes[n];
        out << (n ? ", " : "") << "{\"box\": [" << b.x0 << ", " << b.y0 << ", " << b.x1 << ", " << b.y1
            << "], \"presence\": " << presence << ", \"keypoints\": [";
        for (std::size_t k = 0; k < points.size(); ++k) {
            const double x = map.to_picture_x(points[k].x), y = map.to_picture_y(points[k].y);
            out << (k ? ", [" : "[") << x << ", " << y << ", " << points[k].score << "]";
            if (options.verbose) {
                const std::string& name = model.about["skeleton"]["keypoints"].items[k].string;
                std::fprintf(stderr, "%-24s %.3f (%.1f, %.1f)\n", name.c_str(), points[k].score, x, y);
            }
        }
        out << "]}";
    }
    out << "], \"latency_ms\": {\"median\": " << quantile(times, 0.5) << ", \"p95\": " << quantile(times, 0.95)
        << ", \"runs\": " << times.size() << "}}";
    std::cout << out.str() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::optional<Options> options = read_options(argc, argv);
        if (!options) {
            std::cout << usage;
            return 0;
        }
        run(*options);
        return 0;
    } catch (const std::exception& error) {
        std::string text = error.what();  // OpenVINO's messages take several lines
        std::replace(text.begin(), text.end(), '\n', ' ');
        std::cerr << "pose: " << text << std::endl;
        return 2;
    }
}
