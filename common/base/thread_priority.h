// How a thread stands beside the other threads of the process.
#pragma once

namespace lamella {

// The calling thread does work that can wait: where others want the same core it gets about a tenth of
// it from now on, and an idle core as before. For a thread's whole life, so call it in threads of one's
// own. A system that refuses is no error: the thread stays as it was.
void LowerThreadPriority();

}  // namespace lamella
