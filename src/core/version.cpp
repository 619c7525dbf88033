#include "t2i/version.h"

const char* t2i_version(void) {
    return T2I_VERSION;
}
