// lamella: the command line.
#include "client/cli/operator_commands.h"

namespace lamella::cli {

namespace {

int Main(int argc, char** argv) {
  CLI::App app("Talks to a Lamella server.");
  app.footer(
      "Exit status: 0 done; 1 the server refused or failed it; 2 wrong usage; 3 no server "
      "answered.");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", LAMELLA_VERSION " (commit " LAMELLA_COMMIT ")");
  CommonOptions common;
  app.add_option("--server", common.server, "HOST:PORT of the data listener")
      ->capture_default_str();
  app.add_option("--admin", common.admin, "HOST:PORT of the admin listener")->capture_default_str();
  app.add_option("--tenant", common.tenant,
                 "Tenant that is meant; others than your own for operators only");
  app.add_option("--token-file", common.token_file, "File with the key that says who you are");
  app.add_option("--tls-ca", common.tls.ca_file,
                 "PEM file of who may vouch for the server; uses TLS");
  app.add_option("--tls-cert", common.tls.cert_file, "PEM file with your own certificate");
  app.add_option("--tls-key", common.tls.key_file, "PEM file with its key");
  app.add_option("--tls-server-name", common.tls.server_name,
                 "Name that the server's certificate must hold. Default: the HOST called");
  app.add_option("--timeout", common.timeout_seconds,
                 "Seconds until a call is given up; 0 is never")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--output", common.output, "text or json")->check(CLI::IsMember({"text", "json"}));

  Command chosen;
  const Registry registry{&app, &common, &chosen};
  AddGenerate(registry);
  AddModels(registry);
  AddAdapters(registry);
  AddTokenize(registry);
  AddStore(registry);
  AddKeys(registry);
  AddUsage(registry);
  AddTop(registry);
  AddDoctor(registry);
  AddCapacity(registry);
  AddCompletion(registry);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }

  if (!ReadKey(&common)) return kUsage;
  client::ClientOptions options;
  options.server = common.server;
  options.key = common.key;
  options.tls = common.tls;
  options.timeout = common.timeout();
  auto client = client::Client::Connect(options);
  if (!client.ok()) {
    Fail(client.status());
    return kUsage;
  }
  return chosen(client->get());
}

}  // namespace
}  // namespace lamella::cli

int main(int argc, char** argv) { return lamella::cli::Main(argc, argv); }
