#include "common/base/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lamella {
namespace {

std::atomic<LogFormat> log_format{LogFormat::kText};

bool IsPlain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c == 0x7F) return false;
  }
  return true;
}

const char* Pattern(LogFormat format) {
  return format == LogFormat::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})"
                                    : "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
}

std::shared_ptr<spdlog::logger> MakeLogger() {
  auto logger = std::make_shared<spdlog::logger>("lamella",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->flush_on(spdlog::level::info);
  return logger;
}

// Never destroyed: threads may log while statics are.
spdlog::logger& Logger() {
  static const auto& logger = *new std::shared_ptr<spdlog::logger>([] {
    auto made = MakeLogger();
    made->set_pattern(Pattern(LogFormat::kText), spdlog::pattern_time_type::utc);
    return made;
  }());
  return *logger;
}

void Write(spdlog::level::level_enum level, std::string_view message, LogFields fields) {
  const std::string line = FormatLogLine(log_format.load(), message, fields);
  Logger().log(level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

std::string QuoteJson(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          out += absl::StrFormat("\\u%04x", static_cast<unsigned int>(c));
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

LogField::LogField(std::string_view key, double value)
    : key(key),
      value(std::isfinite(value) ? absl::StrFormat("%.6g", value) : "null"),
      is_number(true) {}

void SetLogFormat(LogFormat format) {
  log_format.store(format);
  Logger().set_pattern(Pattern(format), spdlog::pattern_time_type::utc);
}

void LogInfo(std::string_view message, LogFields fields) {
  Write(spdlog::level::info, message, fields);
}
void LogWarning(std::string_view message, LogFields fields) {
  Write(spdlog::level::warn, message, fields);
}
void LogError(std::string_view message, LogFields fields) {
  Write(spdlog::level::err, message, fields);
}

std::string FormatLogLine(LogFormat format, std::string_view message, LogFields fields) {
  const bool json = format == LogFormat::kJson;
  std::string line = json ? "\"message\":" + QuoteJson(message) : std::string(message);
  for (const LogField& field : fields) {
    const bool plain = field.is_number || (!json && IsPlain(field.value));
    const std::string value = plain ? field.value : QuoteJson(field.value);
    line += json ? "," + QuoteJson(field.key) + ":" + value
                 : " " + std::string(field.key) + "=" + value;
  }
  return line;
}

}  // namespace lamella
