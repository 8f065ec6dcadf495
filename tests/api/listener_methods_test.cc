// Every method of every listener, found by the descriptors of what is registered: none without a
// decision, none that can be called around the gate.
#include <google/protobuf/descriptor.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "server/api/authorization.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/api/admin_fixture.h"
#include "tests/api/call_by_name.h"

namespace lamella {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

// Who may call what: "anyone", "any role", or the roles.
std::string Decision(const MethodDescriptor& method) {
  const auto access = AccessTo(method.input_type()->full_name());
  if (!access.has_value()) return "none";
  if (access->anyone) return "anyone";
  return access->roles == Roles::All() ? "any role" : Describe(access->roles);
}

// An admin listener with everything on, and a data listener that is never called past its gate.
class ListenerMethodsTest : public AdminTest {
 protected:
  void SetUp() override {
    Start();
    UseCredentials();
    server_.reset();
    const AdminDeps admin{.store = store_.get(),
                          .residency = &residency_,
                          .watch = hub_.get(),
                          .workers = workers_.get(),
                          .authenticator = &authenticator_,
                          .clock = &clock_,
                          .metrics = registry_.metrics(),
                          .upload_quota = &upload_quota_};
    ServiceDeps data;
    data.metrics = registry_.metrics();
    data.authenticator = &authenticator_;
    const RpcServerOptions options{.address = "127.0.0.1:0", .enable_reflection = true};
    server_ = *RpcServer::Start(options, admin);
    data_server_ = *RpcServer::Start(options, data);
  }
  void TearDown() override {
    data_server_.reset();
    AdminTest::TearDown();
  }

  static void ForEachMethod(const RpcServer& server,
                            const std::function<void(const MethodDescriptor&)>& visit) {
    for (const std::string& name : server.services()) {
      const ServiceDescriptor* service = DescriptorPool::generated_pool()->FindServiceByName(name);
      ASSERT_NE(service, nullptr) << name;
      for (int i = 0; i < service->method_count(); ++i) visit(*service->method(i));
    }
  }
  std::vector<const RpcServer*> Listeners() const { return {server_.get(), data_server_.get()}; }

  static std::string Path(const MethodDescriptor& method) {
    return "/" + method.service()->full_name() + "/" + method.name();
  }
  static grpc::Status Call(const RpcServer& server, const std::string& path, const std::string& key,
                           size_t padding_bytes = 0) {
    const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(server.port()),
                                             grpc::InsecureChannelCredentials());
    grpc::ClientContext context;
    AddKey(key, &context);
    if (padding_bytes > 0) context.AddMetadata("padding", std::string(padding_bytes, 'x'));
    // Health's Watch goes on for ever.
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    std::string response;
    return testing::CallByName(channel, &context, path, "", &response);
  }

  std::unique_ptr<RpcServer> data_server_;
};

TEST_F(ListenerMethodsTest, EveryMethodOfEveryListenerHasADecision) {
  int methods = 0;
  int undecided = 0;
  for (const RpcServer* server : Listeners()) {
    ForEachMethod(*server, [&](const MethodDescriptor& method) {
      ++methods;
      const std::string decision = Decision(method);
      if (decision.empty() || decision == "none") ++undecided;
      EXPECT_NE(decision, "none") << method.full_name();
      EXPECT_NE(decision, "") << method.full_name();
    });
  }
  RecordProperty("methods", methods);  // for scripts/prove/edge.py
  RecordProperty("undecided", undecided);
  // 23 of our own, health and reflection (two versions) twice, channelz.
  EXPECT_EQ(methods, 23 + 2 * 2 + 2 * 2 + 7);
}

TEST_F(ListenerMethodsTest, MethodsOfOursDoNotShareADecision) {
  std::set<std::string> types;
  for (const RpcServer* server : Listeners()) {
    ForEachMethod(*server, [&](const MethodDescriptor& method) {
      if (!method.full_name().starts_with("lamella.")) return;
      EXPECT_TRUE(types.insert(method.input_type()->full_name()).second) << method.full_name();
    });
  }
}

TEST_F(ListenerMethodsTest, WhoIsUnknownGetsPastNoGateButHealths) {
  for (const RpcServer* server : Listeners()) {
    ForEachMethod(*server, [&](const MethodDescriptor& method) {
      if (Decision(method) == "anyone") return;
      for (const char* key : {"", "nobody"}) {
        SCOPED_TRACE(Path(method) + " with key '" + key + "'");
        ExpectError(Call(*server, Path(method), key), grpc::StatusCode::UNAUTHENTICATED,
                    "UNAUTHENTICATED", "");
      }
    });
  }
}

TEST_F(ListenerMethodsTest, WhoLacksTheRoleGetsPastNoGate) {
  // Callers that have one role each.
  const std::vector<std::pair<const char*, Role>> callers = {
      {"anna", Role::kAdapterWriter}, {"otto", Role::kOperator}, {"ina", Role::kInference}};
  int refused = 0;
  for (const RpcServer* server : Listeners()) {
    ForEachMethod(*server, [&](const MethodDescriptor& method) {
      const Access access = *AccessTo(method.input_type()->full_name());
      for (const auto& [key, role] : callers) {
        if (access.anyone || access.roles.Has(role)) continue;
        ++refused;
        ExpectError(Call(*server, Path(method), key), grpc::StatusCode::PERMISSION_DENIED,
                    "PERMISSION_DENIED", "");
      }
    });
  }
  EXPECT_GT(refused, 40);
  EXPECT_EQ(registry_.metrics()->calls_refused.WithReason("permission_denied").Value(), refused);
}

TEST_F(ListenerMethodsTest, LargeMetadataGetsPastNoGate) {
  int refused = 0;
  for (const RpcServer* server : Listeners()) {
    ForEachMethod(*server, [&](const MethodDescriptor& method) {
      ++refused;
      ExpectError(Call(*server, Path(method), "otto", 9 << 10), grpc::StatusCode::INVALID_ARGUMENT,
                  "METADATA_TOO_LARGE", "metadata");
    });
  }
  EXPECT_EQ(registry_.metrics()->calls_refused.WithReason("metadata_too_large").Value(), refused);
}

TEST_F(ListenerMethodsTest, UnknownMethodsLookLikeOthersToWhoIsUnknown) {
  for (const RpcServer* server : Listeners()) {
    for (const char* path : {"/lamella.v1.GenerationService/Bogus", "/a/b", "/"}) {
      ExpectError(Call(*server, path, ""), grpc::StatusCode::UNAUTHENTICATED, "UNAUTHENTICATED",
                  "");
      ExpectError(Call(*server, path, "otto"), grpc::StatusCode::UNIMPLEMENTED, "NOT_IMPLEMENTED",
                  "");
    }
  }
}

TEST_F(ListenerMethodsTest, ChannelzIsTheAdminListenersAlone) {
  const std::string path = "/grpc.channelz.v1.Channelz/GetServers";
  EXPECT_TRUE(Call(*server_, path, "otto").ok());
  EXPECT_EQ(Call(*data_server_, path, "otto").error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace lamella
