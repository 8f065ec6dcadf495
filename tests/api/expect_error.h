// Assertions on what a client gets besides messages: errors with their details, trailers.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "lamella/rpc/v1/error_details.pb.h"

namespace lamella {

// The details of an error, unpacked.
struct ErrorDetails {
  rpc::v1::ErrorInfo info;
  rpc::v1::BadRequest bad_request;
  rpc::v1::RetryInfo retry;
  rpc::v1::QuotaFailure quota;
  bool has_retry = false;

  std::string field() const {
    return bad_request.field_violations_size() == 0 ? "" : bad_request.field_violations(0).field();
  }
};

inline ErrorDetails DetailsOf(const grpc::Status& status) {
  ErrorDetails details;
  rpc::v1::Status packed;
  EXPECT_TRUE(packed.ParseFromString(status.error_details()));
  EXPECT_EQ(packed.code(), status.error_code());
  EXPECT_EQ(packed.message(), status.error_message());
  for (const auto& any : packed.details()) {
    const std::string name = any.type_url().substr(any.type_url().rfind('/') + 1);
    if (name == "google.rpc.ErrorInfo") details.info.ParseFromString(any.value());
    if (name == "google.rpc.BadRequest") details.bad_request.ParseFromString(any.value());
    if (name == "google.rpc.QuotaFailure") details.quota.ParseFromString(any.value());
    if (name == "google.rpc.RetryInfo")
      details.has_retry = details.retry.ParseFromString(any.value());
  }
  return details;
}

inline void ExpectError(const grpc::Status& status, grpc::StatusCode code,
                        const std::string& reason, const std::string& field) {
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.info.reason(), reason) << status.error_message();
  EXPECT_EQ(details.info.domain(), "lamella");
  EXPECT_EQ(details.field(), field) << status.error_message();
}

inline std::multimap<std::string, std::string> TrailersOf(const grpc::ClientContext& context) {
  std::multimap<std::string, std::string> trailers;
  for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
    trailers.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
  }
  return trailers;
}

}  // namespace lamella
