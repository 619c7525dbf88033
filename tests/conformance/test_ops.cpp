// One test per operation: see conform.h.
#include "conformance/conform.h"
#include "support/catch.h"

using t2i::Op;
using t2i::test::check_op;

TEST_CASE("linear") {
    check_op(Op::linear);
}
TEST_CASE("attention") {
    check_op(Op::attention);
}
TEST_CASE("norm_modulate") {
    check_op(Op::norm_modulate);
}
TEST_CASE("rms_norm") {
    check_op(Op::rms_norm);
}
TEST_CASE("group_norm") {
    check_op(Op::group_norm);
}
TEST_CASE("conv2d") {
    check_op(Op::conv2d);
}
TEST_CASE("upsample2x") {
    check_op(Op::upsample2x);
}
TEST_CASE("unary") {
    check_op(Op::unary);
}
TEST_CASE("gated_gelu") {
    check_op(Op::gated_gelu);
}
TEST_CASE("lincomb") {
    check_op(Op::lincomb);
}
TEST_CASE("gather") {
    check_op(Op::gather);
}
TEST_CASE("patchify") {
    check_op(Op::patchify);
}
TEST_CASE("unpatchify") {
    check_op(Op::unpatchify);
}
TEST_CASE("timestep_embed") {
    check_op(Op::timestep_embed);
}
TEST_CASE("cast") {
    check_op(Op::cast);
}
TEST_CASE("to_channels_last") {
    check_op(Op::to_channels_last);
}
TEST_CASE("to_channels_first") {
    check_op(Op::to_channels_first);
}
TEST_CASE("residual_norm") {
    check_op(Op::residual_norm);
}
TEST_CASE("sampler_update") {
    check_op(Op::sampler_update);
}
TEST_CASE("limit") {
    check_op(Op::limit);
}
TEST_CASE("to_rgb8") {
    check_op(Op::to_rgb8);
}
