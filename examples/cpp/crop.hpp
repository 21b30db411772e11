// From a picture to the model's input and back. Pixel coordinates: the centre of the top-left pixel is (0, 0), so that a
// whole picture is the box (-0.5, -0.5, width - 0.5, height - 0.5).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "json.hpp"
#include "picture.hpp"

struct Box {
    double x0, y0, x1, y1;
};

// How a box of a picture becomes the model's input; the entry "crop" of the model file's description.
struct CropRule {
    int width, height;
    double margin;
    int border;           // of every channel outside the picture
    double reduce_above;  // a picture that shrinks by more is averaged over blocks first

    static CropRule from(const Json& crop) {
        if (crop["interpolation"].string != "bilinear") throw std::runtime_error("unknown interpolation");
        const auto within = [&](const char* name, double low, double high) {
            const double value = crop[name].number();
            if (!(value >= low && value <= high)) throw std::runtime_error(std::string("impossible crop rule: ") + name);
            return value;
        };
        return {int(within("width", 1, 8192)), int(within("height", 1, 8192)), within("margin", 1e-3, 1e3),
                int(within("border", 0, 255)), within("reduce_above", 1, 1e9)};
    }
};

// crop pixel = scale * picture pixel + (dx, dy)
struct Map {
    double scale, dx, dy;

    double to_picture_x(double u) const { return (u - dx) / scale; }
    double to_picture_y(double v) const { return (v - dy) / scale; }
};

// The box is widened by the margin, then its shorter side lengthened until it has the crop's shape: nothing is squashed.
// A whole picture is fitted without a margin.
inline Map crop_map(const Box& box, const CropRule& rule, double margin) {
    const double aspect = double(rule.width) / rule.height;
    double width = (box.x1 - box.x0) * margin;
    const double height = (box.y1 - box.y0) * margin;
    width = std::max(width, height * aspect);
    const double scale = rule.width / width;
    return {scale, (rule.width - 1) / 2.0 - scale * (box.x0 + box.x1) / 2,
            (rule.height - 1) / 2.0 - scale * (box.y0 + box.y1) / 2};
}

// The picture averaged over blocks of factor x factor pixels; a block that reaches over the far edge is filled up with the
// border's value.
inline Picture reduced(const Picture& picture, int factor, int border) {
    Picture out;
    out.width = (picture.width + factor - 1) / factor;
    out.height = (picture.height + factor - 1) / factor;
    out.rgb.resize(3 * std::size_t(out.width) * out.height);
    for (int y = 0; y < out.height; ++y) {
        for (int x = 0; x < out.width; ++x) {
            long sum[3] = {0, 0, 0};
            for (int v = y * factor; v < (y + 1) * factor; ++v) {
                for (int u = x * factor; u < (x + 1) * factor; ++u) {
                    const bool inside = u < picture.width && v < picture.height;
                    const std::uint8_t* pixel = inside ? &picture.rgb[3 * (std::size_t(v) * picture.width + u)] : nullptr;
                    for (int c = 0; c < 3; ++c) sum[c] += pixel ? pixel[c] : border;
                }
            }
            for (int c = 0; c < 3; ++c) {
                const double mean = double(sum[c]) / (double(factor) * factor);
                // A half is rounded as OpenCV does it, which made the pictures that the net learned from.
                const double rounded = factor == 2 ? std::floor(mean + 0.5) : std::nearbyint(mean);
                out.rgb[3 * (std::size_t(y) * out.width + x) + c] = std::uint8_t(rounded);
            }
        }
    }
    return out;
}

// The model's input, RGB row by row: the picture resampled once, bilinearly, with the border's value outside of it.
inline std::vector<std::uint8_t> cut_crop(const Picture& whole, const Map& map, const CropRule& rule) {
    const double shrink = 1 / map.scale;
    // Blocks larger than the picture are no different from blocks of its size.
    const double most = std::max(whole.width, whole.height);
    const int factor = shrink > rule.reduce_above ? int(std::clamp(std::floor(shrink + 1e-9), 1.0, most)) : 1;
    Picture small;
    if (factor > 1) small = reduced(whole, factor, rule.border);
    const Picture& source = factor > 1 ? small : whole;
    const double offset = (factor - 1) / 2.0;  // picture pixel = factor * reduced pixel + offset
    const auto at = [&](int x, int y, int c) {
        const bool inside = x >= 0 && y >= 0 && x < source.width && y < source.height;
        return float(inside ? source.rgb[3 * (std::size_t(y) * source.width + x) + c] : rule.border);
    };
    // In single precision and in this order, as OpenCV computes it: where weights are exact fractions many values lie half-way
    // between two grey levels, and the last bit decides.
    const float step = float(1 / (map.scale * factor));
    const float first_x = float((map.to_picture_x(0) - offset) / factor);
    const float first_y = float((map.to_picture_y(0) - offset) / factor);
    std::vector<std::uint8_t> crop(3 * std::size_t(rule.width) * rule.height);
    for (int v = 0; v < rule.height; ++v) {
        // Anywhere outside is as good as just outside.
        const float y = std::clamp(float(v) * step + first_y, -2.0f, source.height + 1.0f);
        const int top = int(std::floor(y));
        for (int u = 0; u < rule.width; ++u) {
            const float x = std::clamp(float(u) * step + first_x, -2.0f, source.width + 1.0f);
            const int left = int(std::floor(x));
            const float right = x - float(left), below = y - float(top);
            for (int c = 0; c < 3; ++c) {
                const float upper = at(left, top, c) + (at(left + 1, top, c) - at(left, top, c)) * right;
                const float lower = at(left, top + 1, c) + (at(left + 1, top + 1, c) - at(left, top + 1, c)) * right;
                crop[3 * (std::size_t(v) * rule.width + u) + c] =
                    std::uint8_t(std::nearbyint(upper + (lower - upper) * below));
            }
        }
    }
    return crop;
}
