# lamella_room(NAME SRCS ... DEPS ...): one static library per room, sources listed one by one.
function(lamella_room name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(${name} STATIC ${ARG_SRCS})
    target_link_libraries(${name} PUBLIC lamella_options ${ARG_DEPS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE lamella_options ${ARG_DEPS})
  endif()
endfunction()

# lamella_tests(NAME SRCS ... DEPS ... [LABELS ...] [TIMEOUT seconds]): one test binary per room;
# ctest sees every case by its suite and law.
function(lamella_tests name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} lamella_options GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE LAMELLA_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  include(GoogleTest)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# lamella_fuzz(NAME SRCS ... DEPS ...): a libFuzzer binary; only with -DLAMELLA_FUZZ=ON and clang. The target
# `fuzzers` builds them all.
if(LAMELLA_FUZZ)
  add_custom_target(fuzzers)
endif()
function(lamella_fuzz name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(LAMELLA_FUZZ)
    add_executable(${name} ${ARG_SRCS})
    target_link_libraries(${name} PRIVATE ${ARG_DEPS} lamella_options)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzzers ${name})
  endif()
endfunction()
