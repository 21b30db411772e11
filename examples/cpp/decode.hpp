// The reference decoder: one heat map to one keypoint. It is posewright/runtime/decode.py in C++, for model files that were
// exported with --outputs heatmaps because an accelerator cannot run the decoding.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "json.hpp"

struct Keypoint {
    double x, y;   // crop pixels, (0, 0) at the first pixel's centre
    double score;  // height of the peak, 0..1
};

// What the description says of the maps.
struct Decoding {
    int stride = 4;                     // crop pixels per cell
    double shift_x = 0, shift_y = 0;    // cells that the peaks lie right and down of the truth
    std::string rule = "gaussian";      // or "argmax", "argmax_resized": nets of older systems

    static Decoding from(const Json& description) {
        Decoding d;
        const double stride = description["stride"].number();
        if (!(stride >= 1 && stride <= 8192)) throw std::runtime_error("impossible stride");
        d.stride = int(stride);
        if (description.has("label_shift")) {
            const Json& shift = description["label_shift"];
            if (shift.items.size() != 2) throw std::runtime_error("label_shift is not two numbers");
            d.shift_x = shift.items[0].number();
            d.shift_y = shift.items[1].number();
        }
        if (description.has("decoding")) d.rule = description["decoding"].string;
        if (d.rule != "gaussian" && d.rule != "argmax" && d.rule != "argmax_resized") {
            throw std::runtime_error("unknown decoding '" + d.rule + "'");
        }
        return d;
    }
};

// Fits a parabola to the logarithm of five values, each weighted with its square, whose highest stands at `place`.
// Returns where its top lies from there (-1..1), and how far it rises above it (0..0.5, in logarithms).
inline std::pair<double, double> top_of_parabola(const std::array<double, 5>& profile, int place) {
    const double highest = std::log(*std::max_element(profile.begin(), profile.end()));
    double s[5] = {}, t[3] = {};
    for (int i = 0; i < 5; ++i) {
        const double value = std::log(profile[i]) - highest, weight = std::exp(2 * value), u = i - place;
        double power = 1;
        for (int n = 0; n < 5; ++n, power *= u) {
            s[n] += weight * power;
            if (n < 3) t[n] += weight * value * power;
        }
    }
    // Cramer's rule for [s0 s1 s2; s1 s2 s3; s2 s3 s4] (a, b, c) = (t0, t1, t2).
    const double m1 = s[1] * s[4] - s[2] * s[3], m2 = s[1] * s[3] - s[2] * s[2];
    const double det = s[0] * (s[2] * s[4] - s[3] * s[3]) - s[1] * m1 + s[2] * m2;
    const double b = s[0] * (t[1] * s[4] - t[2] * s[3]) - t[0] * m1 + s[2] * (s[1] * t[2] - s[2] * t[1]);
    const double c = s[0] * (s[2] * t[2] - s[3] * t[1]) - s[1] * (s[1] * t[2] - s[2] * t[1]) + t[0] * m2;
    if (!(det > 0 && c < -1e-6 * det)) return {0, 0};
    const double top = std::clamp(-b / (2 * c), -1.0, 1.0);
    return {top, std::clamp(-c / det * top * top, 0.0, 0.5)};
}

// The highest cell, moved to the top of the gaussian that fits the 5 x 5 cells around it.
inline Keypoint decode_gaussian(const float* map, int height, int width, const Decoding& how) {
    if (height < 5 || width < 5) throw std::runtime_error("a heat map of fewer than 5 x 5 cells");
    const int best = int(std::max_element(map, map + height * width) - map);
    const int row = best / width, column = best % width;
    const double peak = map[best], floor = std::max(peak, 1e-6) * 1e-4;
    const int top = std::clamp(row - 2, 0, height - 5), left = std::clamp(column - 2, 0, width - 5);
    std::array<double, 5> columns{}, rows{};
    for (int y = 0; y < 5; ++y) {
        for (int x = 0; x < 5; ++x) {
            const double value = std::max(double(map[(top + y) * width + left + x]), floor);
            columns[x] += value;
            rows[y] += value;
        }
    }
    const auto [dx, rise_x] = top_of_parabola(columns, column - left);
    const auto [dy, rise_y] = top_of_parabola(rows, row - top);
    const double middle = (how.stride - 1) / 2.0;
    return {(column + dx - how.shift_x) * how.stride + middle, (row + dy - how.shift_y) * how.stride + middle,
            std::clamp(peak * std::exp(rise_x + rise_y), 0.0, 1.0)};
}

// The highest pixel of the map enlarged to the crop.
inline Keypoint decode_resized(const float* map, int height, int width, int stride) {
    Keypoint best{0, 0, -1e30};
    for (int v = 0; v < height * stride; ++v) {
        const double y = std::clamp((v + 0.5) / stride - 0.5, 0.0, height - 1.0);
        const int top = std::min(int(y), height - 1), bottom = std::min(top + 1, height - 1);
        for (int u = 0; u < width * stride; ++u) {
            const double x = std::clamp((u + 0.5) / stride - 0.5, 0.0, width - 1.0);
            const int left = std::min(int(x), width - 1), right = std::min(left + 1, width - 1);
            const double upper = map[top * width + left] * (1 - (x - left)) + map[top * width + right] * (x - left);
            const double lower = map[bottom * width + left] * (1 - (x - left)) + map[bottom * width + right] * (x - left);
            const double value = upper * (1 - (y - top)) + lower * (y - top);
            if (value > best.score) best = {double(u), double(v), value};
        }
    }
    best.score = std::clamp(best.score, 0.0, 1.0);
    return best;
}

// map: `height` rows of `width` cells of one keypoint, of the last stage; the background's map is nobody's.
inline Keypoint decode(const float* map, int height, int width, const Decoding& how) {
    if (how.rule == "gaussian") return decode_gaussian(map, height, width, how);
    if (how.rule == "argmax_resized") return decode_resized(map, height, width, how.stride);
    const int best = int(std::max_element(map, map + height * width) - map);
    if (map[best] < 1e-6) return {0, 0, 0};
    return {double(best % width * how.stride), double(best / width * how.stride), std::min(double(map[best]), 1.0)};
}
