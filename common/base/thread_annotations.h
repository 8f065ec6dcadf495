// Macros for clang's thread-safety analysis; nothing elsewhere.
#pragma once

#if defined(__clang__)
#define LAMELLA_TSA(x) __attribute__((x))
#else
#define LAMELLA_TSA(x)
#endif

// Some releases of Abseil leak macros of the same names and meaning.
#undef GUARDED_BY
#undef PT_GUARDED_BY
#undef NO_THREAD_SAFETY_ANALYSIS

#define CAPABILITY(x) LAMELLA_TSA(capability(x))
#define SCOPED_CAPABILITY LAMELLA_TSA(scoped_lockable)
#define REQUIRES(...) LAMELLA_TSA(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) LAMELLA_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) LAMELLA_TSA(release_capability(__VA_ARGS__))
#define EXCLUDES(...) LAMELLA_TSA(locks_excluded(__VA_ARGS__))

// Abseil spells these three the same way and means the same; whoever comes first defines them.
#ifndef GUARDED_BY
#define GUARDED_BY(x) LAMELLA_TSA(guarded_by(x))
#endif
#ifndef PT_GUARDED_BY
#define PT_GUARDED_BY(x) LAMELLA_TSA(pt_guarded_by(x))
#endif
#ifndef NO_THREAD_SAFETY_ANALYSIS
#define NO_THREAD_SAFETY_ANALYSIS LAMELLA_TSA(no_thread_safety_analysis)
#endif
