// Picture files to pixels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct Picture {
    int width = 0;
    int height = 0;
    std::vector<std::uint8_t> rgb;  // row by row, three bytes a pixel
};

// Reads a JPEG (turned as its EXIF entry says) or a PNG (laid over white where it is transparent).
// Throws std::runtime_error where the file is neither, or damaged.
Picture read_picture(const std::string& path);
