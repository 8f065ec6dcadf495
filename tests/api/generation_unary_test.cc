// The calls beside Generate: texts to tokens and back, what is served, which adapters may be used.
#include "common/base/error.h"
#include "common/formats/digest.h"
#include "server/api/generation_service.h"
#include "tests/api/api_fixture.h"

namespace lamella {
namespace {

using testing::ElementsAre;

class GenerationUnaryTest : public ApiTest {};

TEST_F(GenerationUnaryTest, TokenizeAndDetokenizeAreInverse) {
  v1::TokenizeRequest request;
  request.add_texts("a\xc3\xa4");
  request.add_texts("");
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->Tokenize(&context, request, &response).ok());
  ASSERT_EQ(response.texts_size(), 2);
  EXPECT_THAT(response.texts(0).ids(), ElementsAre(257, 'a', 0xc3, 0xa4));
  EXPECT_THAT(response.texts(0).pieces(), ElementsAre("<bos>", "a", "\uFFFD", "\uFFFD"));
  EXPECT_EQ(response.texts(0).offsets(3).begin(), 2);
  EXPECT_EQ(TrailersOf(context).count("lamella-request-id"), 1U);
  v1::DetokenizeRequest back;
  *back.add_sequences()->mutable_ids() = response.texts(0).ids();
  v1::DetokenizeResponse text;
  grpc::ClientContext second;
  ASSERT_TRUE(stub_->Detokenize(&second, back, &text).ok());
  EXPECT_THAT(text.texts(), ElementsAre("a\xc3\xa4"));
}

TEST_F(GenerationUnaryTest, TokenizeWithoutSpecialTokens) {
  v1::TokenizeRequest request;
  request.add_texts("a");
  request.set_add_special_tokens(false);
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->Tokenize(&context, request, &response).ok());
  EXPECT_THAT(response.texts(0).ids(), ElementsAre('a'));
}

TEST_F(GenerationUnaryTest, UnaryErrorsNameTheEntry) {
  v1::TokenizeRequest request;
  request.add_texts("fine");
  request.add_texts("refuse");
  v1::TokenizeResponse response;
  grpc::ClientContext first;
  ExpectError(stub_->Tokenize(&first, request, &response), grpc::StatusCode::INVALID_ARGUMENT,
              "INVALID_UTF8", "texts[1]");
  request.set_texts(1, "\xff");
  grpc::ClientContext second;
  ExpectError(stub_->Tokenize(&second, request, &response), grpc::StatusCode::INVALID_ARGUMENT,
              "INVALID_UTF8", "texts[1]");
  v1::DetokenizeRequest back;
  back.add_sequences()->add_ids(-1);
  v1::DetokenizeResponse text;
  grpc::ClientContext third;
  ExpectError(stub_->Detokenize(&third, back, &text), grpc::StatusCode::INVALID_ARGUMENT,
              "INVALID_TOKEN_ID", "sequences[0].ids[0]");
  EXPECT_EQ(Rejected("invalid_utf8"), 2);
}

TEST_F(GenerationUnaryTest, ModelInfoSaysWhatIsServed) {
  v1::GetModelInfoResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->GetModelInfo(&context, {}, &response).ok());
  EXPECT_EQ(response.model(), "tiny");
  EXPECT_EQ(response.context_tokens(), 64);
  EXPECT_EQ(response.vocab_size(), 258);
  EXPECT_THAT(response.eos_token_ids(), ElementsAre(256));
  EXPECT_EQ(response.limits().max_prompt_bytes(), 1 << 20);
  EXPECT_EQ(response.limits().max_n(), RequestLimits().max_n);
  EXPECT_EQ(response.limits().max_logit_bias(), RequestLimits().max_logit_bias);
  EXPECT_EQ(response.limits().max_logprobs(), RequestLimits().max_logprobs);
  EXPECT_EQ(response.limits().max_prompt_logprobs(), RequestLimits().max_prompt_logprobs);
  EXPECT_EQ(response.limits().max_cache_salt_bytes(), RequestLimits().max_cache_salt_bytes);
  EXPECT_THAT(response.features(), testing::IsSupersetOf({"logprobs", "min_p", "n"}));
  EXPECT_TRUE(std::is_sorted(response.features().begin(), response.features().end()));
  EXPECT_EQ(response.isa(), "reference");
}

// The limits are those of whose key it is, and so is what is in flight.
TEST_F(GenerationUnaryTest, ModelInfoSaysWhatTheCallersTenantMayTake) {
  v1::GetModelInfoResponse free;
  grpc::ClientContext first;
  ASSERT_TRUE(stub_->GetModelInfo(&first, {}, &free).ok());
  EXPECT_EQ(free.caller_limits().weight(), 1);
  EXPECT_EQ(free.caller_limits().max_in_flight(), 0);
  EXPECT_EQ(free.caller_limits().in_flight(), 3);
  EXPECT_EQ(free.caller_limits().queued_tokens(), 40);
  authenticator_.Replace(*Credentials::FromJson(
      R"({"credentials":[{"name":"app","sha256":")" + Sha256Hex("k") +
      R"(","tenant":"anna","roles":["inference"]}],"tenants":{"anna":{"weight":3,"max_in_flight":5,)"
      R"("max_queued_tokens":700,"tokens_per_minute":9000}}})"));
  v1::GetModelInfoResponse limited;
  grpc::ClientContext second;
  second.AddMetadata("authorization", "Bearer k");
  ASSERT_TRUE(stub_->GetModelInfo(&second, {}, &limited).ok());
  EXPECT_EQ(limited.caller_limits().weight(), 3);
  EXPECT_EQ(limited.caller_limits().max_in_flight(), 5);
  EXPECT_EQ(limited.caller_limits().max_queued_tokens(), 700);
  EXPECT_EQ(limited.caller_limits().tokens_per_minute(), 9000);
  EXPECT_EQ(limited.caller_limits().in_flight(), 0);
  EXPECT_EQ(limited.caller_limits().queued_tokens(), 0);
}

TEST_F(GenerationUnaryTest, AdaptersComeInPages) {
  v1::ListUsableAdaptersRequest request;
  request.set_page_size(2);
  std::vector<std::string> names;
  int pages = 0;
  do {
    v1::ListUsableAdaptersResponse response;
    grpc::ClientContext context;
    ASSERT_TRUE(stub_->ListUsableAdapters(&context, request, &response).ok());
    for (const auto& adapter : response.adapters()) {
      names.push_back(adapter.adapter_id());
      EXPECT_EQ(adapter.residency(), v1::RESIDENCY_HOST);
    }
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ElementsAre("anna", "ben", "cleo"));
  EXPECT_EQ(pages, 2);
}

// An adapter has an entry for each version and alias: none is lost where a page ends between them.
TEST_F(GenerationUnaryTest, PagesEndBetweenVersionsOfOneAdapter) {
  catalogue_.Add("ben", "canary", 'd');
  catalogue_.Add("ben", "", 'e');
  catalogue_.Add("ben", "", 'f');
  v1::ListUsableAdaptersRequest request;
  request.set_page_size(1);
  std::vector<std::string> ids;
  do {
    v1::ListUsableAdaptersResponse response;
    grpc::ClientContext context;
    ASSERT_TRUE(stub_->ListUsableAdapters(&context, request, &response).ok());
    ASSERT_EQ(response.adapters_size(), 1);
    ids.push_back(response.adapters(0).adapter_id());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty() && ids.size() < 10);
  EXPECT_THAT(ids, ElementsAre("anna", "ben@sha256:" + std::string(64, 'e'),
                               "ben@sha256:" + std::string(64, 'f'), "ben@canary", "ben", "cleo"));
}

TEST_F(GenerationUnaryTest, APageTokenOfAnotherListIsRefused) {
  v1::ListUsableAdaptersRequest request;
  request.set_page_token("anna");
  v1::ListUsableAdaptersResponse response;
  grpc::ClientContext context;
  ExpectError(stub_->ListUsableAdapters(&context, request, &response),
              grpc::StatusCode::INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", "page_token");
}

}  // namespace
}  // namespace lamella
