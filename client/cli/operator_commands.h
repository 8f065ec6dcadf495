// The commands of `lamella` that an operator looks with; as those of commands.h.
#pragma once

#include "client/cli/commands.h"

namespace lamella::cli {

void AddTop(const Registry& registry);
void AddDoctor(const Registry& registry);
void AddCapacity(const Registry& registry);
void AddCompletion(const Registry& registry);

}  // namespace lamella::cli
