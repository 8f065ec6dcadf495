# Language level, warnings, sanitizers, linker and compiler cache: what every target is built with.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_library(lamella_options INTERFACE)
target_include_directories(lamella_options INTERFACE "${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/gen")
# Designated initializers leave members at their defaults on purpose.
target_compile_options(lamella_options INTERFACE -Wall -Wextra -Wpedantic -Wnon-virtual-dtor -Werror
                                                 -Wno-missing-field-initializers
                                                 -fno-omit-frame-pointer -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 sees overlaps in inlined std::string additions that cannot be (GCC bug 105651).
  target_compile_options(lamella_options INTERFACE "$<$<CONFIG:Release>:-Wno-restrict;-Wno-maybe-uninitialized>")
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(lamella_options INTERFACE -Wthread-safety -Werror=thread-safety)
endif()
if(LAMELLA_SANITIZE)
  target_compile_options(lamella_options INTERFACE -fsanitize=${LAMELLA_SANITIZE}
                                                   -fno-sanitize-recover=all)
  target_link_options(lamella_options INTERFACE -fsanitize=${LAMELLA_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's manual: sanitizers make this warning see what is not there.
    target_compile_options(lamella_options INTERFACE -Wno-maybe-uninitialized)
    if(LAMELLA_SANITIZE STREQUAL "thread")
      # TSan does not model the fence in Abseil's flags; they are set before any thread starts.
      target_compile_options(lamella_options INTERFACE -Wno-tsan)
    endif()
  endif()
endif()

find_program(LAMELLA_CCACHE ccache)
if(LAMELLA_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${LAMELLA_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${LAMELLA_CCACHE}")
endif()
find_program(LAMELLA_MOLD mold)
if(LAMELLA_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
if(LAMELLA_FUZZ)
  target_compile_options(lamella_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
