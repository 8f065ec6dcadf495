// One line per event on stderr, as text or as JSON: a message that is the same every time, and
// fields that differ. Thread-safe. Not for the hot path: nothing is logged per token or per step.
// Never log a prompt, an answer or a credential.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace lamella {

enum class LogFormat { kText, kJson };

// A name and a value; numbers stay numbers in JSON.
struct LogField {
  LogField(std::string_view key, std::string_view value) : key(key), value(value) {}
  LogField(std::string_view key, const char* value) : key(key), value(value) {}
  LogField(std::string_view key, const std::string& value) : key(key), value(value) {}
  LogField(std::string_view key, int64_t value)
      : key(key), value(std::to_string(value)), is_number(true) {}
  LogField(std::string_view key, int32_t value) : LogField(key, static_cast<int64_t>(value)) {}
  LogField(std::string_view key, double value);

  std::string_view key;
  std::string value;
  bool is_number = false;
};

using LogFields = std::initializer_list<LogField>;

// Text until this is called.
void SetLogFormat(LogFormat format);

void LogInfo(std::string_view message, LogFields fields = {});
void LogWarning(std::string_view message, LogFields fields = {});
void LogError(std::string_view message, LogFields fields = {});

// `text` as a JSON string, quotes and all: control characters escaped, so that one event stays one
// line.
std::string QuoteJson(std::string_view text);

// What LogInfo would write after the time and the level, without the newline: for tests.
//   text: ready address=127.0.0.1:50051 seconds=1.2 model="a b"
//   json: "message":"ready","address":"127.0.0.1:50051","seconds":1.2,"model":"a b"
std::string FormatLogLine(LogFormat format, std::string_view message, LogFields fields);

}  // namespace lamella
