// The catalogue of ErrorInfo reasons: stable, UPPER_SNAKE, documented in docs/errors.md (a test
// compares the two). Add at the end of a group; never rename one that was released.
#pragma once

namespace lamella::reasons {

// Adapter files.
inline constexpr char kTruncated[] = "TRUNCATED";
inline constexpr char kMalformedHeader[] = "MALFORMED_HEADER";
inline constexpr char kMalformedJson[] = "MALFORMED_JSON";
inline constexpr char kDuplicateKey[] = "DUPLICATE_KEY";
inline constexpr char kLimitExceeded[] = "LIMIT_EXCEEDED";
inline constexpr char kUnsupportedFormat[] = "UNSUPPORTED_FORMAT";
inline constexpr char kUnsupportedDtype[] = "UNSUPPORTED_DTYPE";
inline constexpr char kUnsupportedFeature[] = "UNSUPPORTED_FEATURE";
inline constexpr char kUnknownConfigKey[] = "UNKNOWN_CONFIG_KEY";
inline constexpr char kInvalidConfigValue[] = "INVALID_CONFIG_VALUE";
inline constexpr char kInvalidPattern[] = "INVALID_PATTERN";
inline constexpr char kUnknownTensor[] = "UNKNOWN_TENSOR";
inline constexpr char kNoModuleBound[] = "NO_MODULE_BOUND";
inline constexpr char kShapeMismatch[] = "SHAPE_MISMATCH";
inline constexpr char kRankMismatch[] = "RANK_MISMATCH";
inline constexpr char kMissingPair[] = "MISSING_PAIR";
inline constexpr char kMissingFile[] = "MISSING_FILE";
inline constexpr char kNonFinite[] = "NON_FINITE";
inline constexpr char kDigestMismatch[] = "DIGEST_MISMATCH";

// The store of adapters.
inline constexpr char kStoreLocked[] = "STORE_LOCKED";
inline constexpr char kStoreTooNew[] = "STORE_TOO_NEW";
inline constexpr char kStoreUnwritable[] = "STORE_UNWRITABLE";
inline constexpr char kStoreCorrupt[] = "STORE_CORRUPT";
inline constexpr char kStoreFull[] = "STORE_FULL";
inline constexpr char kQuotaExceeded[] = "QUOTA_EXCEEDED";
inline constexpr char kWrongBase[] = "WRONG_BASE";
inline constexpr char kVersionQuarantined[] = "VERSION_QUARANTINED";
inline constexpr char kVersionInUse[] = "VERSION_IN_USE";
inline constexpr char kEtagMismatch[] = "ETAG_MISMATCH";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";

// Base models and tokenizers.
inline constexpr char kUnknownArchitecture[] = "UNKNOWN_ARCHITECTURE";
inline constexpr char kMissingTensor[] = "MISSING_TENSOR";
inline constexpr char kUnsupportedTokenizer[] = "UNSUPPORTED_TOKENIZER";

// Requests.
inline constexpr char kAdapterNotFound[] = "ADAPTER_NOT_FOUND";
inline constexpr char kAdapterLoading[] = "ADAPTER_LOADING";
inline constexpr char kAdapterCacheFull[] = "ADAPTER_CACHE_FULL";
inline constexpr char kPinLimit[] = "PIN_LIMIT";
inline constexpr char kInvalidAdapterId[] = "INVALID_ADAPTER_ID";
inline constexpr char kEmptyPrompt[] = "EMPTY_PROMPT";
inline constexpr char kPromptTooLong[] = "PROMPT_TOO_LONG";
inline constexpr char kInvalidUtf8[] = "INVALID_UTF8";
inline constexpr char kInvalidTokenId[] = "INVALID_TOKEN_ID";
inline constexpr char kOutOfRange[] = "OUT_OF_RANGE";
inline constexpr char kTooMany[] = "TOO_MANY";
inline constexpr char kCannotFit[] = "CANNOT_FIT";
inline constexpr char kNotImplemented[] = "NOT_IMPLEMENTED";
inline constexpr char kMalformedRequest[] = "MALFORMED_REQUEST";
inline constexpr char kInvalidResourceName[] = "INVALID_RESOURCE_NAME";
inline constexpr char kInvalidPageToken[] = "INVALID_PAGE_TOKEN";
inline constexpr char kWrongUploadOrder[] = "WRONG_UPLOAD_ORDER";

// The running server.
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kTokensPerMinute[] = "TOKENS_PER_MINUTE";
inline constexpr char kTenantInFlightLimit[] = "TENANT_IN_FLIGHT_LIMIT";
inline constexpr char kTenantQueuedTokens[] = "TENANT_QUEUED_TOKENS";
inline constexpr char kTenantTokensPerMinute[] = "TENANT_TOKENS_PER_MINUTE";
inline constexpr char kQueueWaitTooLong[] = "QUEUE_WAIT_TOO_LONG";
inline constexpr char kDeadlineTooShort[] = "DEADLINE_TOO_SHORT";
inline constexpr char kSlowReader[] = "SLOW_READER";
inline constexpr char kDraining[] = "DRAINING";
inline constexpr char kCancelled[] = "CANCELLED";
inline constexpr char kDeadlineExceeded[] = "DEADLINE_EXCEEDED";
inline constexpr char kRequestTimeLimit[] = "REQUEST_TIME_LIMIT";
inline constexpr char kNonFiniteLogits[] = "NON_FINITE_LOGITS";
inline constexpr char kMetadataTooLarge[] = "METADATA_TOO_LARGE";
inline constexpr char kUnauthenticated[] = "UNAUTHENTICATED";
inline constexpr char kPermissionDenied[] = "PERMISSION_DENIED";
inline constexpr char kInvalidCredentials[] = "INVALID_CREDENTIALS";
inline constexpr char kInvalidCertificate[] = "INVALID_CERTIFICATE";
inline constexpr char kPortInUse[] = "PORT_IN_USE";
inline constexpr char kInvalidFlag[] = "INVALID_FLAG";
inline constexpr char kInternal[] = "INTERNAL";

}  // namespace lamella::reasons
