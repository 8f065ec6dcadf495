#include "tests/testing/random_adapter.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace lamella::testing {
namespace {

// Uniform in [-limit, limit), from a 64-bit linear congruential generator: the same on any machine.
class Uniform {
 public:
  explicit Uniform(uint32_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}

  void Fill(float limit, std::vector<float>* values) {
    for (float& value : *values) {
      state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
      value = limit * (static_cast<float>(state_ >> 40) * 0x1p-23F - 1.0F);
    }
  }

 private:
  uint64_t state_;
};

}  // namespace

std::unique_ptr<const AdapterWeights> MakeRandomAdapter(const BaseSpec& base,
                                                        const kernels::KernelTable& table,
                                                        const RandomAdapterOptions& options) {
  std::vector<LoraModuleShape> shapes;
  for (const BaseModule& module : base.modules) {
    shapes.push_back({module.layer, module.kind, options.rank, module.in_features,
                      module.out_features, options.strength});
  }
  const std::string name = "random-" + std::to_string(options.seed);
  AdapterWeightsBuilder builder(AdapterRef{"default", name, name}, base.num_layers(), shapes,
                                table);
  Uniform uniform(options.seed);
  std::vector<float> a;
  std::vector<float> b;
  for (size_t i = 0; i < shapes.size(); ++i) {
    a.resize(static_cast<size_t>(options.rank * shapes[i].in_features));
    b.resize(static_cast<size_t>(options.rank * shapes[i].out_features));
    uniform.Fill(1.7F / std::sqrt(static_cast<float>(shapes[i].in_features)), &a);
    uniform.Fill(0.1F / std::sqrt(static_cast<float>(options.rank)), &b);
    builder.Pack(i, a.data(), b.data());
  }
  return std::move(builder).Finish();
}

}  // namespace lamella::testing
