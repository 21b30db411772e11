#include "picture.hpp"

#include <png.h>

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

// After <cstdio>, which it relies on.
#include <jpeglib.h>
#include <jerror.h>

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t most_pixels = 400'000'000;  // a header may promise more than any machine holds

Bytes read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + ": cannot be opened");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Failed {
    std::string what;
};

// libjpeg reports errors through a function that must not return, and knows no exceptions.
struct JpegErrors {
    jpeg_error_mgr base;
    std::jmp_buf escape;
    char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void give_up(j_common_ptr info) {
    auto* errors = reinterpret_cast<JpegErrors*>(info->err);
    info->err->format_message(info, errors->text);
    std::longjmp(errors->escape, 1);
}

void complain(j_common_ptr info, int level) {
    // Of what libjpeg only warns of, this it would fill with grey.
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) give_up(info);
}

// The orientation, 1..8, that a JPEG's EXIF entry (an APP1 marker) states; 1 where it states none.
int orientation(const std::uint8_t* data, std::size_t size) {
    if (size < 14 || std::memcmp(data, "Exif\0\0", 6) != 0) return 1;
    const std::uint8_t* tiff = data + 6;
    const std::size_t length = size - 6;
    const bool little = tiff[0] == 'I';
    const auto number = [&](std::size_t at, int bytes) {
        std::uint32_t value = 0;
        for (int i = 0; i < bytes; ++i) value |= std::uint32_t{tiff[at + i]} << 8 * (little ? i : bytes - 1 - i);
        return value;
    };
    const std::size_t start = number(4, 4);
    if (start + 2 > length) return 1;
    const std::size_t count = number(start, 2);
    for (std::size_t i = 0; i < count && start + 2 + 12 * (i + 1) <= length; ++i) {
        const std::size_t entry = start + 2 + 12 * i;
        if (number(entry, 2) == 0x0112) {
            const int value = static_cast<int>(number(entry + 8, 2));
            return value >= 1 && value <= 8 ? value : 1;
        }
    }
    return 1;
}

Picture turned(const Picture& picture, int how) {
    if (how == 1) return picture;
    const bool sideways = how >= 5;
    Picture out;
    out.width = sideways ? picture.height : picture.width;
    out.height = sideways ? picture.width : picture.height;
    out.rgb.resize(picture.rgb.size());
    const bool right_to_left = how == 2 || how == 3 || how == 7 || how == 8;
    const bool bottom_to_top = how == 3 || how == 4 || how == 6 || how == 7;
    for (int y = 0; y < out.height; ++y) {
        for (int x = 0; x < out.width; ++x) {
            int from_x = sideways ? y : x, from_y = sideways ? x : y;
            if (right_to_left) from_x = picture.width - 1 - from_x;
            if (bottom_to_top) from_y = picture.height - 1 - from_y;
            std::memcpy(&out.rgb[3 * (std::size_t(y) * out.width + x)],
                        &picture.rgb[3 * (std::size_t(from_y) * picture.width + from_x)], 3);
        }
    }
    return out;
}

struct Stored {
    Picture picture;
    int orientation = 1;
};

// Everything that may jump; what needs its destructor run belongs to the caller.
void decode_jpeg(jpeg_decompress_struct& info, const Bytes& data, Stored& stored) {
    Picture& picture = stored.picture;
    jpeg_mem_src(&info, data.data(), static_cast<unsigned long>(data.size()));
    jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info, TRUE);
    for (auto marker = info.marker_list; marker && stored.orientation == 1; marker = marker->next) {
        stored.orientation = orientation(marker->data, marker->data_length);
    }
    if (std::size_t(info.image_width) * info.image_height > most_pixels) return;
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    picture.width = int(info.output_width);
    picture.height = int(info.output_height);
    picture.rgb.resize(3 * std::size_t(picture.width) * picture.height);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = &picture.rgb[3 * std::size_t(info.output_scanline) * picture.width];
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
}

Picture read_jpeg(const Bytes& data) {
    Stored stored;
    JpegErrors errors;
    jpeg_decompress_struct info;
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = give_up;
    errors.base.emit_message = complain;
    if (setjmp(errors.escape)) {
        jpeg_destroy_decompress(&info);
        throw Failed{errors.text};
    }
    jpeg_create_decompress(&info);
    decode_jpeg(info, data, stored);
    jpeg_destroy_decompress(&info);
    if (stored.picture.rgb.empty()) throw Failed{"is too large"};
    return turned(stored.picture, stored.orientation);
}

Picture read_png(const Bytes& data) {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(&image, data.data(), data.size())) throw Failed{image.message};
    if (std::size_t(image.width) * image.height > most_pixels) {
        png_image_free(&image);
        throw Failed{"is too large"};
    }
    image.format = PNG_FORMAT_RGB;
    image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    Picture picture{int(image.width), int(image.height), Bytes(PNG_IMAGE_SIZE(image))};
    const png_color white{255, 255, 255};
    if (!png_image_finish_read(&image, &white, picture.rgb.data(), 0, nullptr)) throw Failed{image.message};
    return picture;
}

}  // namespace

Picture read_picture(const std::string& path) {
    const Bytes data = read_file(path);
    try {
        if (data.size() > 3 && data[0] == 0xFF && data[1] == 0xD8) return read_jpeg(data);
        if (data.size() > 8 && std::memcmp(data.data(), "\x89PNG", 4) == 0) return read_png(data);
    } catch (const Failed& error) {
        throw std::runtime_error(path + ": " + error.what);
    }
    throw std::runtime_error(path + ": is neither a JPEG nor a PNG");
}
