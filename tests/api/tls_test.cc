// TLS on a listener: who is let in, who a certificate makes of a caller, and files that change.
#include <filesystem>
#include <string>

#include "common/formats/digest.h"
#include "server/api/tls_reloader.h"
#include "tests/api/api_fixture.h"
#include "tests/testing/certificates.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsOk;
using testing::PemPair;
using testing::TestAuthority;

constexpr char kServerNames[] = "DNS:localhost,IP:127.0.0.1";

class TlsTest : public ApiTest {
 protected:
  void SetUp() override { Serve(/*require_client_certificate=*/false); }
  void TearDown() override { server_.reset(); }

  void Serve(bool require_client_certificate) {
    server_.reset();
    Write(authority_.Issue("server", kServerNames));
    dir_.Write("ca.pem", clients_.certificate());
    auto tls = TlsReloader::Create({.certificate_path = dir_.path() + "/cert.pem",
                                    .key_path = dir_.path() + "/key.pem",
                                    .client_ca_path = dir_.path() + "/ca.pem",
                                    .interval = absl::Hours(24)},
                                   registry_.metrics());
    ASSERT_TRUE(IsOk(tls));
    tls_ = *std::move(tls);
    StartServer({.address = "127.0.0.1:0",
                 .tls = tls_.get(),
                 .require_client_certificate = require_client_certificate});
  }
  void Write(const PemPair& pair) {
    dir_.Write("cert.pem", pair.certificate);
    dir_.Write("key.pem", pair.key);
  }

  // A connection of its own that trusts `authority`.
  std::shared_ptr<grpc::Channel> Connect(const TestAuthority& authority, const PemPair& own = {}) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(
        address_,
        grpc::SslCredentials({.pem_root_certs = authority.certificate(),
                              .pem_private_key = own.key,
                              .pem_cert_chain = own.certificate}),
        arguments);
  }
  static grpc::Status Ask(const std::shared_ptr<grpc::Channel>& channel,
                          const std::string& key = "") {
    grpc::ClientContext context;
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    v1::ListUsableAdaptersResponse response;
    return v1::GenerationService::NewStub(channel)->ListUsableAdapters(&context, {}, &response);
  }
  // Of a Generate call over `channel`.
  std::string TenantOf(const std::shared_ptr<grpc::Channel>& channel, const std::string& key = "") {
    grpc::ClientContext context;
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    const auto stub = v1::GenerationService::NewStub(channel);
    auto reader = stub->Generate(&context, TextRequest());
    std::string tenant = sink_.Take().request.tenant;
    context.TryCancel();
    reader->Finish();
    return tenant;
  }
  void UseCredentials() {
    authenticator_.Replace(*Credentials::FromJson(
        R"({"credentials":[{"name":"k","sha256":")" + Sha256Hex("key") +
        R"(","tenant":"keyed","roles":["inference"]},)"
        R"({"name":"c","uri":"lamella://tenants/anna/app","roles":["inference"]},)"
        R"({"name":"d","uri":"spiffe://site/ben","tenant":"ben","roles":["inference"]}]})"));
  }
  PemPair Client(const std::string& uris) { return clients_.Issue("client", uris); }

  const testing::TempDir dir_;
  const TestAuthority authority_{"servers"};
  const TestAuthority clients_{"clients"};
  std::unique_ptr<TlsReloader> tls_;
};

TEST_F(TlsTest, WhoTrustsTheAuthorityGetsThrough) {
  EXPECT_TRUE(Ask(Connect(authority_)).ok());
  EXPECT_EQ(Ask(Connect(clients_)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, PlainConnectionsAreRefused) {
  EXPECT_EQ(Ask(channel_).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, ACertificateNamesItsTenant) {
  UseCredentials();
  EXPECT_EQ(TenantOf(Connect(authority_, Client("URI:lamella://tenants/anna/app"))), "anna");
  EXPECT_EQ(TenantOf(Connect(authority_, Client("URI:spiffe://site/ben"))), "ben");
}

TEST_F(TlsTest, AKeyWinsOverTheCertificateItComesWith) {
  UseCredentials();
  const auto channel = Connect(authority_, Client("URI:lamella://tenants/anna/app"));
  EXPECT_EQ(TenantOf(channel, "key"), "keyed");
  ExpectError(Ask(channel, "wrong"), grpc::StatusCode::UNAUTHENTICATED, "UNAUTHENTICATED", "");
}

TEST_F(TlsTest, CertificatesThatNobodyListsAreNobodys) {
  UseCredentials();
  for (const char* uris : {"URI:lamella://tenants/anna", "URI:lamella://tenants/anna/app/x",
                           "DNS:anna", "URI:spiffe://site/ben,URI:lamella://tenants/anna/app"}) {
    ExpectError(Ask(Connect(authority_, Client(uris))), grpc::StatusCode::UNAUTHENTICATED,
                "UNAUTHENTICATED", "");
  }
  ExpectError(Ask(Connect(authority_)), grpc::StatusCode::UNAUTHENTICATED, "UNAUTHENTICATED", "");
}

TEST_F(TlsTest, CertificatesOfAnotherAuthorityEndTheHandshake) {
  UseCredentials();
  const PemPair forged = authority_.Issue("client", "URI:lamella://tenants/anna/app");
  EXPECT_EQ(Ask(Connect(authority_, forged)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, AListenerCanRequireACertificate) {
  Serve(/*require_client_certificate=*/true);
  EXPECT_EQ(Ask(Connect(authority_)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Ask(Connect(authority_, Client("DNS:any"))).ok());
}

// gRPC looks each second: asks until a handshake shows what was staged.
#define EXPECT_EVENTUALLY(condition) \
  while (!(condition)) continue

TEST_F(TlsTest, NewHandshakesShowTheNewCertificateAndOldConnectionsGoOn) {
  const TestAuthority next("next");
  const auto before = Connect(authority_);
  ASSERT_TRUE(Ask(before).ok());
  Write(next.Issue("server", kServerNames));
  tls_->Look();
  EXPECT_EQ(registry_.metrics()->tls.reloads.Value(), 1);
  EXPECT_EVENTUALLY(Ask(Connect(next)).ok());
  EXPECT_EQ(Ask(Connect(authority_)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Ask(before).ok());
}

TEST_F(TlsTest, FilesThatDoNotFitTogetherChangeNothing) {
  dir_.Write("key.pem", authority_.Issue("server", kServerNames).key);
  tls_->Look();
  EXPECT_EQ(registry_.metrics()->tls.stale.Value(), 1);
  std::filesystem::remove(dir_.path() + "/cert.pem");
  tls_->Look();
  EXPECT_EQ(registry_.metrics()->tls.failures.Value(), 2);
  const TestAuthority next("next");
  EXPECT_TRUE(Ask(Connect(authority_)).ok());
  Write(next.Issue("server", kServerNames));
  tls_->Look();
  EXPECT_EQ(registry_.metrics()->tls.stale.Value(), 0);
  EXPECT_EVENTUALLY(Ask(Connect(next)).ok());
}

TEST_F(TlsTest, ClientsOfANewAuthorityAreTakenWithoutARestart) {
  const TestAuthority next("next clients");
  const PemPair own = next.Issue("client", "DNS:any");
  EXPECT_EQ(Ask(Connect(authority_, own)).error_code(), grpc::StatusCode::UNAVAILABLE);
  dir_.Write("ca.pem", clients_.certificate() + next.certificate());
  tls_->Look();
  EXPECT_EVENTUALLY(Ask(Connect(authority_, own)).ok());
  EXPECT_TRUE(Ask(Connect(authority_, Client("DNS:any"))).ok());
}

TEST_F(TlsTest, BadFilesAreRefusedByFlag) {
  const auto refused = [this](const TlsOptions& options, const std::string& flag) {
    EXPECT_TRUE(IsError(TlsReloader::Create(options, registry_.metrics()),
                        absl::StatusCode::kInvalidArgument, "INVALID_CERTIFICATE", flag));
  };
  const std::string cert = dir_.path() + "/cert.pem", key = dir_.path() + "/key.pem";
  const std::string bad = dir_.Write("bad.pem", "no certificate");
  refused({.certificate_path = bad, .key_path = key}, "tls-cert");
  refused({.certificate_path = dir_.path() + "/none", .key_path = key}, "tls-cert");
  refused({.certificate_path = cert, .key_path = bad}, "tls-key");
  refused({.certificate_path = cert, .key_path = key, .client_ca_path = bad}, "tls-client-ca");
}

}  // namespace
}  // namespace lamella
