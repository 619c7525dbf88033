# A mutant: a kernel file with one line made wrong, in a namespace of its own (t2i::cuda::<name>), so that a test can see the
# emulator or the comparison of orders notice it. Fails when the line is not there any more.
function(t2i_mutant name file right wrong)
  set(source ${PROJECT_SOURCE_DIR}/kernels/cuda/${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(READ ${source} text)
  string(FIND "${text}" "${right}" position)
  if(position EQUAL -1)
    message(FATAL_ERROR "mutant ${name}: ${file} has no \"${right}\"")
  endif()
  string(REPLACE "${right}" "${wrong}" text "${text}")
  string(REPLACE "namespace t2i::cuda {" "namespace t2i::cuda::${name} {" text "${text}")
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/mutant_${name}.cpp CONTENT "${text}" @ONLY)
  target_sources(test_emulation PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/mutant_${name}.cpp)
endfunction()

# "][;" and "#" stand in C++ but mean something to CMake, so lines are chosen without lists of them.
t2i_mutant(transpose_without_barrier picture.cu "__syncthreads()" "(void)0")
t2i_mutant(group_norm_without_barrier group_norm.cu "__syncthreads()" "(void)0")
t2i_mutant(upsample_one_too_many picture.cu "if (i >= in_row)" "if (i > in_row)")
t2i_mutant(embedding_one_off embed.cu "if (k >= half)" "if (k > half)")
t2i_mutant(modulation_of_the_next_group norm.cu "row / a.rows_per_group" "(row + 1) / a.rows_per_group % 2")
