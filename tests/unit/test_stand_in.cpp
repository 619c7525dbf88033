// What stands where a downloaded file should be.
#include "core/files.h"
#include "core/json_options.h"
#include "core/stand_in.h"
#include "support/files.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

namespace fs = std::filesystem;

TEST_CASE("stand-ins: pointers, pages and answers are told from a model's files") {
    for (const char* page :
         {"<!DOCTYPE html>", "<html lang=en>", " \r\n<!doctype HTML>", "<?xml version='1.0'?><Error>", "\xEF\xBB\xBF<html>"})
        CHECK(contains(stand_in_problem(page), "is a web page"));
    for (const char* answer : {"Entry not found", "Invalid username or password.", "Access to model a/b is restricted.",
                               R"({"error":"Repository not found"})", R"( { "error" : 1})"})
        CHECK(contains(stand_in_problem(answer), "is a server's answer"));
    CHECK(contains(stand_in_problem("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"));
    CHECK(contains(stand_in_problem(""), "is empty"));
    for (const char* good :
         {"{}", R"({"errors": 1})", R"({"a": "error"})", "\n\x0E\n\x05<unk>", "unauthorised", "<unk>", "version 2"})
        CHECK(stand_in_problem(good).empty());
}

TEST_CASE("stand-ins: why a file is not there") {
    const TempFolder folder;
    CHECK(absence_problem(folder / "none").empty());
    CHECK(absence_problem(folder.path().string()).empty());
    fs::create_symlink("../blobs/0", folder / "relative");
    fs::create_symlink(folder / "gone", folder / "absolute");
    CHECK(contains(absence_problem(folder / "relative"), "this link points to nothing (../blobs/0)"));
    CHECK(contains(absence_problem(folder / "absolute"), "this link points to nothing (" + (folder / "gone") + ")"));
    (void)write_file(folder / "gone.incomplete", "1");
    CHECK(contains(absence_problem(folder / "absolute"), "its download has not finished (gone.incomplete is there)"));
    CHECK(contains(absence_problem(folder / "gone"), "its download has not finished (gone.incomplete is there)"));
    (void)write_file(folder / "gone", "1");
    CHECK(absence_problem(folder / "absolute").empty());
    // Every reader says so; where nothing is known, the system's own words.
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)read_text_file(folder / "relative"); }), "points to nothing"));
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)JsonOptions::read(folder / "relative"); }), "points to nothing"));
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)read_text_file(folder / "none"); }), "No such file"));
    (void)write_file(folder / "pointer.json", "version https://git-lfs.github.com/spec/v1\n");
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)JsonOptions::read(folder / "pointer.json"); }), "Git LFS pointer"));
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)read_downloaded_file(folder / "pointer.json", 1024); }),
                   "pointer.json"));
}
