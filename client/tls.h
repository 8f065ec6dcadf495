// How a client of either listener proves and checks identity on the wire. A value.
#pragma once

#include <string>

namespace lamella::client {

// Without files: no TLS. Files are PEM and are read when a client connects.
struct TlsOptions {
  std::string ca_file;      // authorities that may vouch for the server; empty: the system's
  std::string cert_file;    // what the client shows, leaf first; empty: nothing
  std::string key_file;     // of cert_file
  std::string server_name;  // that the server's certificate must hold; empty: the HOST called

  bool enabled() const { return !ca_file.empty() || !cert_file.empty() || !key_file.empty(); }
};

}  // namespace lamella::client
