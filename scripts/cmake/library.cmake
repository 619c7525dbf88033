# The library that others build on: all rooms that Pipeline needs as one libt2i, what an installation needs beside it, and the
# targets t2i::t2i of CMake and t2i of pkg-config.
#
# Static and shared library are made of the same object files. BUILD_SHARED_LIBS says which one is installed; the other is there for
# the tests, under the install component other_library.
set(library_rooms core kernels ops emulation cuda_support backend checkpoint text sampling nn models generators pipeline c_api)
set(library_objects "")
foreach(room ${library_rooms})
  list(APPEND library_objects $<TARGET_OBJECTS:t2i_${room}>)
endforeach()
set(library_map ${PROJECT_SOURCE_DIR}/scripts/cmake/library.map)

find_package(Boost REQUIRED COMPONENTS context)
set(library_dependencies Threads::Threads PkgConfig::sentencepiece PkgConfig::hwy PkgConfig::utf8proc PkgConfig::pcre2
  PkgConfig::libdeflate PkgConfig::turbojpeg PkgConfig::webp PkgConfig::xxhash Boost::context ${CMAKE_DL_LIBS})

include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/t2i)
set(flags "")
foreach(package sentencepiece hwy utf8proc pcre2 libdeflate turbojpeg webp xxhash)
  list(APPEND flags ${${package}_LDFLAGS})
endforeach()
list(FILTER flags EXCLUDE REGEX "^-L/usr/lib")  # where every linker looks
list(JOIN flags " " T2I_PC_LIBS)
string(APPEND T2I_PC_LIBS " -lboost_context -lstdc++ -lm -lpthread -ldl")

# kind: STATIC or SHARED.
function(t2i_library kind component)
  string(TOLOWER ${kind} name)
  set(target t2i_${name})
  add_library(${target} ${kind} ${library_objects})
  add_library(t2i::${target} ALIAS ${target})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME t2i EXPORT_NAME t2i LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
    INSTALL_RPATH "$ORIGIN")
  target_link_libraries(${target} PRIVATE ${library_dependencies})
  target_compile_features(${target} INTERFACE cxx_std_20)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  if(kind STREQUAL "SHARED")
    target_link_options(${target} PRIVATE -Wl,--version-script=${library_map} -Wl,-z,defs)
    set_target_properties(${target} PROPERTIES LINK_DEPENDS ${library_map})
    if(T2I_SANITIZE)
      target_link_options(${target} PRIVATE -fsanitize=${T2I_SANITIZE} -Wl,-z,undefs)
    endif()
  endif()

  set(targets t2i-${name}.cmake)  # of both kinds CMake makes a file of this name in one folder
  set(only "")
  if(NOT component STREQUAL "library")
    set(only EXCLUDE_FROM_ALL)
  endif()
  install(TARGETS ${target} EXPORT ${target} ARCHIVE COMPONENT ${component} ${only} LIBRARY COMPONENT ${component} ${only})
  install(EXPORT ${target} NAMESPACE t2i:: FILE ${targets} DESTINATION ${package_folder} COMPONENT ${component} ${only})
  set(T2I_TARGETS ${targets})
  set(T2I_IS_STATIC OFF)
  if(kind STREQUAL "STATIC")
    set(T2I_IS_STATIC ON)
  endif()
  set(files ${CMAKE_CURRENT_BINARY_DIR}/package/${name})
  configure_package_config_file(${PROJECT_SOURCE_DIR}/scripts/cmake/t2iConfig.cmake.in ${files}/t2iConfig.cmake
    INSTALL_DESTINATION ${package_folder} PATH_VARS CMAKE_INSTALL_DATADIR)
  write_basic_package_version_file(${files}/t2iConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${files}/t2iConfig.cmake ${files}/t2iConfigVersion.cmake DESTINATION ${package_folder}
    COMPONENT ${component} ${only})
endfunction()

if(BUILD_SHARED_LIBS)
  t2i_library(SHARED library)
  t2i_library(STATIC other_library)
  add_library(t2i::t2i ALIAS t2i_shared)
  set(other_library t2i_static)
else()
  t2i_library(STATIC library)
  t2i_library(SHARED other_library)
  add_library(t2i::t2i ALIAS t2i_static)
  set(other_library t2i_shared)
endif()
if(NOT T2I_TESTS)
  set_target_properties(${other_library} PROPERTIES EXCLUDE_FROM_ALL ON)
endif()

# Relative to the file itself: the prefix may be moved.
file(RELATIVE_PATH T2I_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" T2I_PC_PREFIX "${T2I_PC_PREFIX}")
configure_file(${PROJECT_SOURCE_DIR}/scripts/cmake/t2i.pc.in ${CMAKE_CURRENT_BINARY_DIR}/package/t2i.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/package/t2i.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT headers)
install(DIRECTORY include/t2i DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT headers FILES_MATCHING PATTERN "*.h")
