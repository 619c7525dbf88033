/* The version of the headers (macros) and of the library that runs (function). For C and C++.
 *
 * Until 1.0 a new minor version may change the API and the ABI, and the shared library's SOVERSION with them; a patch version
 * changes neither. */
#pragma once

#include "t2i/export.h"

#define T2I_VERSION_MAJOR 0
#define T2I_VERSION_MINOR 2
#define T2I_VERSION_PATCH 0
#define T2I_VERSION "0.2.0"

#ifdef __cplusplus
extern "C" {
#endif

/* T2I_VERSION of the library that is linked or loaded. From any thread; the text is the library's and stays. */
T2I_API const char* t2i_version(void);

#ifdef __cplusplus
}
#endif
