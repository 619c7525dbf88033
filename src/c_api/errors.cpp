#include "c_api/errors.h"

#include <new>

namespace t2i::c_api {

namespace {

static_assert(T2I_INVALID_ARGUMENT == static_cast<int>(ErrorCode::invalid_argument));
static_assert(T2I_INPUT == static_cast<int>(ErrorCode::input));
static_assert(T2I_RESOURCE == static_cast<int>(ErrorCode::resource));
static_assert(T2I_CANCELLED == static_cast<int>(ErrorCode::cancelled));
static_assert(T2I_INTERNAL == static_cast<int>(ErrorCode::internal));

t2i_category hand_over(t2i_error** error, t2i_error found) {
    const t2i_category category = found.category;
    if (error) *error = new t2i_error(std::move(found));
    return category;
}

t2i_category translated(t2i_error** error) {
    try {
        throw;
    } catch (const Error& e) {
        return hand_over(error, {.category = static_cast<t2i_category>(e.code()),
                                 .field = e.field(),
                                 .file = e.field().empty() ? e.where() : "",
                                 .message = e.message(),
                                 .text = e.what()});
    } catch (const std::bad_alloc&) {
        return hand_over(error, {T2I_RESOURCE, "", "", "out of memory", "out of memory"});
    } catch (const std::exception& e) {
        return hand_over(error, {T2I_INTERNAL, "", "", e.what(), e.what()});
    } catch (...) {
        return hand_over(error, {T2I_INTERNAL, "", "", "unknown exception", "unknown exception"});
    }
}

}  // namespace

t2i_category caught(t2i_error** error) noexcept {
    try {
        return translated(error);
    } catch (...) {
        return T2I_RESOURCE;
    }
}

void check_given(const void* pointer, const char* argument) {
    if (!pointer) throw Error(ErrorCode::invalid_argument, "is NULL", Field{argument});
}

}  // namespace t2i::c_api

t2i_category t2i_error_category(const t2i_error* error) {
    return error ? error->category : T2I_OK;
}

const char* t2i_error_field(const t2i_error* error) {
    return error ? error->field.c_str() : "";
}

const char* t2i_error_file(const t2i_error* error) {
    return error ? error->file.c_str() : "";
}

const char* t2i_error_message(const t2i_error* error) {
    return error ? error->message.c_str() : "";
}

const char* t2i_error_text(const t2i_error* error) {
    return error ? error->text.c_str() : "";
}

void t2i_error_free(t2i_error* error) {
    delete error;
}
