// Unicode normalization form C that keeps its alignment and stays near-linear on hostile text (the
// library alone sorts long runs of combining marks in quadratic time).
#pragma once

#include "server/tokenizer/aligned_text.h"

namespace lamella {

AlignedText ToNfc(AlignedText text);

}  // namespace lamella
