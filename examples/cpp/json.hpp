// Just enough JSON to read a model file's description.
#pragma once

#include <cctype>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

class Json {
public:
    enum class Kind { null, boolean, number, text, list, object };

    Kind kind = Kind::null;
    bool truth = false;
    double value = 0;
    std::string string;
    std::vector<Json> items;
    std::map<std::string, Json> fields;

    static Json parse(const std::string& text) {
        Reader reader{text};
        Json json = reader.read(0);
        reader.skip();
        if (reader.at != text.size()) throw std::runtime_error("the description is not JSON");
        return json;
    }

    bool has(const std::string& name) const {
        const auto found = fields.find(name);
        return found != fields.end() && found->second.kind != Kind::null;
    }

    const Json& operator[](const std::string& name) const {
        const auto found = fields.find(name);
        if (found == fields.end()) throw std::runtime_error("the description lacks '" + name + "'");
        return found->second;
    }

    double number() const {
        if (kind != Kind::number) throw std::runtime_error("the description has something else where a number belongs");
        return value;
    }

private:
    struct Reader {
        const std::string& text;
        std::size_t at = 0;

        void skip() {
            while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) ++at;
        }

        bool take(char c) {
            skip();
            if (at >= text.size() || text[at] != c) return false;
            ++at;
            return true;
        }

        [[noreturn]] static void fail() { throw std::runtime_error("the description is not JSON"); }

        Json read(int depth) {
            if (depth > 32) fail();
            Json json;
            if (take('{')) {
                json.kind = Kind::object;
                if (take('}')) return json;
                do {
                    skip();
                    const std::string name = read_text();
                    if (!take(':')) fail();
                    json.fields[name] = read(depth + 1);
                } while (take(','));
                if (!take('}')) fail();
            } else if (take('[')) {
                json.kind = Kind::list;
                if (take(']')) return json;
                do json.items.push_back(read(depth + 1));
                while (take(','));
                if (!take(']')) fail();
            } else if (at < text.size() && text[at] == '"') {
                json.kind = Kind::text;
                json.string = read_text();
            } else if (word("true") || word("false")) {
                json.kind = Kind::boolean;
                json.truth = text[at - 2] == 'u';
            } else if (!word("null")) {
                char* end = nullptr;
                json.kind = Kind::number;
                json.value = std::strtod(text.c_str() + at, &end);
                if (end == text.c_str() + at) fail();
                at = static_cast<std::size_t>(end - text.c_str());
            }
            return json;
        }

        bool word(const std::string& expected) {
            if (text.compare(at, expected.size(), expected) != 0) return false;
            at += expected.size();
            return true;
        }

        std::string read_text() {
            if (at >= text.size() || text[at++] != '"') fail();
            std::string out;
            while (at < text.size() && text[at] != '"') {
                if (text[at] != '\\') {
                    out += text[at++];
                    continue;
                }
                if (++at >= text.size()) fail();
                const char c = text[at++];
                if (c == 'u') {
                    out += utf8();
                } else {
                    static const std::map<char, char> plain{{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'b', '\b'}, {'f', '\f'}};
                    const auto found = plain.find(c);
                    out += found == plain.end() ? c : found->second;
                }
            }
            if (at++ >= text.size()) fail();
            return out;
        }

        unsigned four_digits() {
            if (at + 4 > text.size()) fail();
            const unsigned code = static_cast<unsigned>(std::strtoul(text.substr(at, 4).c_str(), nullptr, 16));
            at += 4;
            return code;
        }

        std::string utf8() {
            unsigned code = four_digits();
            if (code >= 0xD800 && code < 0xDC00 && text.compare(at, 2, "\\u") == 0) {
                at += 2;
                code = 0x10000 + ((code - 0xD800) << 10) + (four_digits() - 0xDC00);
            }
            const auto byte = [](unsigned v) { return static_cast<char>(v); };
            if (code < 0x80) return {byte(code)};
            if (code < 0x800) return {byte(0xC0 | code >> 6), byte(0x80 | (code & 63))};
            if (code < 0x10000) return {byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 63)), byte(0x80 | (code & 63))};
            return {byte(0xF0 | code >> 18), byte(0x80 | (code >> 12 & 63)), byte(0x80 | (code >> 6 & 63)),
                    byte(0x80 | (code & 63))};
        }
    };
};
