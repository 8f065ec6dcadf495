// The row about tokenizers: recorded vectors of the reference tokenizers, ids and text.
#pragma once

#include <vector>

#include "tests/prove/row.h"

namespace lamella::prove {

// One row for each vocabulary and the form it comes in. `quick`: one of them; the others NOT_RUN.
std::vector<Row> TokenizerRows(bool quick);

}  // namespace lamella::prove
