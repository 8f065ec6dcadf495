# Which commit a binary was built from: git's answer at configure time, "+changes" if files differ from it, or what
# -DLAMELLA_COMMIT=... says where there is no repository.
set(LAMELLA_COMMIT "" CACHE STRING "Commit that --version prints; empty: ask git")
set(LAMELLA_COMMIT_NAME "${LAMELLA_COMMIT}")
if(NOT LAMELLA_COMMIT_NAME)
  execute_process(COMMAND git describe --always --dirty=+changes --abbrev=12 --exclude=*
                  WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" OUTPUT_VARIABLE LAMELLA_COMMIT_NAME
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT LAMELLA_COMMIT_NAME)
  set(LAMELLA_COMMIT_NAME "unknown")
endif()

# lamella_commit_in(FILE...): these sources, and no others, see LAMELLA_COMMIT and are compiled anew for each commit.
function(lamella_commit_in)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_DEFINITIONS "LAMELLA_COMMIT=\"${LAMELLA_COMMIT_NAME}\"")
endfunction()
