/* What a program may use of the library: everything else is hidden in a shared one. For C and C++. */
#pragma once

#if defined(__GNUC__)
#define T2I_API __attribute__((visibility("default")))
#else
#define T2I_API
#endif
