#include "server/api/tls_reloader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/certificate.h"

namespace lamella {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 20;

// The files, in the order of FileWatch::Contents.
enum File : size_t { kCertificate, kKey, kCa };

absl::Status BadFile(const char* flag, const absl::Status& status) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidCertificate, flag,
                   absl::StrCat("--", flag, ": ", status.message()));
}

// When the certificate ends.
absl::StatusOr<absl::Time> Check(const FileWatch::Contents& contents) {
  const auto end = CheckCertificateAndKey(contents[kCertificate], contents[kKey]);
  if (!end.ok()) {
    return BadFile(ErrorField(end.status()) == "key" ? "tls-key" : "tls-cert", end.status());
  }
  if (contents.size() > kCa) {
    if (const absl::Status status = CheckCertificates(contents[kCa]); !status.ok()) {
      return BadFile("tls-client-ca", status);
    }
  }
  return end;
}

// One file for gRPC, so that there is no moment between the two.
std::string Identity(const FileWatch::Contents& contents) {
  return absl::StrCat(contents[kKey], "\n", contents[kCertificate]);
}

absl::StatusOr<int> MemoryFile(std::string_view content) {
  const int fd = memfd_create("lamella-tls", MFD_CLOEXEC);
  size_t done = 0;
  while (fd >= 0 && done < content.size()) {
    const ssize_t n = write(fd, content.data() + done, content.size() - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  if (fd >= 0 && done == content.size()) return fd;
  if (fd >= 0) close(fd);
  return MakeError(absl::StatusCode::kResourceExhausted, reasons::kInternal, "",
                   "no memory or descriptor for a staged file");
}

}  // namespace

absl::StatusOr<StagedFile> StagedFile::Create(std::string_view content) {
  ASSIGN_OR_RETURN(const int fd, MemoryFile(content));
  return StagedFile(fd);
}

StagedFile::~StagedFile() {
  if (fd_ >= 0) close(fd_);
}

StagedFile::StagedFile(StagedFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

absl::Status StagedFile::Replace(std::string_view content) {
  ASSIGN_OR_RETURN(const int fd, MemoryFile(content));
  const bool replaced = dup3(fd, fd_, O_CLOEXEC) == fd_;
  close(fd);
  if (replaced) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, reasons::kInternal, "",
                   "no descriptor for a staged file");
}

std::string StagedFile::path() const { return absl::StrCat("/proc/self/fd/", fd_); }

absl::StatusOr<std::unique_ptr<TlsReloader>> TlsReloader::Create(const TlsOptions& options,
                                                                 const Metrics* metrics) {
  std::vector<std::string> paths = {options.certificate_path, options.key_path};
  std::vector<const char*> flags = {"tls-cert", "tls-key", "tls-client-ca"};
  if (!options.client_ca_path.empty()) paths.push_back(options.client_ca_path);
  FileWatch::Contents contents;
  for (size_t i = 0; i < paths.size(); ++i) {
    auto content = ReadSmallFile(paths[i], kMaxFileBytes);
    if (!content.ok()) return BadFile(flags[i], content.status());
    contents.push_back(*std::move(content));
  }
  ASSIGN_OR_RETURN(const absl::Time end, Check(contents));
  ASSIGN_OR_RETURN(StagedFile identity, StagedFile::Create(Identity(contents)));
  std::optional<StagedFile> ca;
  if (contents.size() > kCa) {
    ASSIGN_OR_RETURN(StagedFile staged, StagedFile::Create(contents[kCa]));
    ca.emplace(std::move(staged));
  }
  metrics->tls_certificate_expiry.Set(absl::ToDoubleSeconds(end - absl::UnixEpoch()));
  std::unique_ptr<TlsReloader> reloader(
      new TlsReloader(std::move(identity), std::move(ca), metrics));
  reloader->reloader_ = std::make_unique<Reloader>(
      "certificate",
      FileWatch::Options{
          .paths = std::move(paths), .max_bytes = kMaxFileBytes, .interval = options.interval},
      std::move(contents), metrics->tls,
      [raw = reloader.get()](const FileWatch::Contents& changed) { return raw->Take(changed); });
  return reloader;
}

TlsReloader::TlsReloader(StagedFile identity, std::optional<StagedFile> ca, const Metrics* metrics)
    : identity_(std::move(identity)), ca_(std::move(ca)), metrics_(metrics) {}

absl::Status TlsReloader::Take(const FileWatch::Contents& contents) {
  ASSIGN_OR_RETURN(const absl::Time end, Check(contents));
  if (ca_.has_value()) RETURN_IF_ERROR(ca_->Replace(contents[kCa]));
  RETURN_IF_ERROR(identity_.Replace(Identity(contents)));
  metrics_->tls_certificate_expiry.Set(absl::ToDoubleSeconds(end - absl::UnixEpoch()));
  return absl::OkStatus();
}

}  // namespace lamella
