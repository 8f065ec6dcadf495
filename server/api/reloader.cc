#include "server/api/reloader.h"

#include <utility>

#include "common/base/error.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"

namespace lamella {

Reloader::Reloader(std::string what, FileWatch::Options files, FileWatch::Contents contents,
                   ReloadMetrics metrics, Take take)
    : what_(std::move(what)),
      metrics_(metrics),
      take_(std::move(take)),
      watch_(std::move(files), std::move(contents),
             [this](const absl::StatusOr<FileWatch::Contents>& changed) { OnChange(changed); }) {}

void Reloader::OnChange(const absl::StatusOr<FileWatch::Contents>& contents) {
  const absl::Status status = contents.ok() ? take_(*contents) : contents.status();
  metrics_.stale.Set(status.ok() ? 0 : 1);
  if (status.ok()) {
    metrics_.reloads.Increment();
    LogInfo("reloaded", {{"what", what_}});
    return;
  }
  metrics_.failures.Increment();
  LogError("reload refused, what was in force stays", {{"what", what_},
                                                       {"reason", ErrorReason(status)},
                                                       {"field", ErrorField(status)},
                                                       {"message", std::string(status.message())}});
}

std::unique_ptr<Reloader> ReloadCredentials(const std::string& path, std::string content,
                                            absl::Duration interval, ApplyLimits apply_limits,
                                            const Metrics& metrics, Authenticator* authenticator) {
  return std::make_unique<Reloader>(
      "credentials",
      FileWatch::Options{
          .paths = {path}, .max_bytes = Credentials::kMaxFileBytes, .interval = interval},
      FileWatch::Contents{std::move(content)}, metrics.credentials,
      [apply_limits = std::move(apply_limits),
       authenticator](const FileWatch::Contents& contents) -> absl::Status {
        ASSIGN_OR_RETURN(Credentials credentials, Credentials::FromJson(contents.front()));
        RETURN_IF_ERROR(apply_limits(credentials.tenants()));
        authenticator->Replace(std::move(credentials));
        return absl::OkStatus();
      });
}

std::unique_ptr<Reloader> ReloadJwtKeys(const std::string& path, std::string content,
                                        absl::Duration interval, const Metrics& metrics,
                                        JwtVerifier* tokens) {
  return std::make_unique<Reloader>(
      "jwt keys",
      FileWatch::Options{
          .paths = {path}, .max_bytes = JwtKeys::kMaxFileBytes, .interval = interval},
      FileWatch::Contents{std::move(content)}, metrics.jwt_keys,
      [tokens](const FileWatch::Contents& contents) -> absl::Status {
        ASSIGN_OR_RETURN(JwtKeys keys, JwtKeys::FromJson(contents.front()));
        tokens->Replace(std::move(keys));
        return absl::OkStatus();
      });
}

}  // namespace lamella
