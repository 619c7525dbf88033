"""A head start for the autoencoder: at step 0 it already encodes and decodes the mean colour of every 8x8 block.

Residual branches start at zero. Along the residual path channels 0…2 carry red, green and blue, channels
3…5 their negatives and channels 6 and 7 a constant K and -K. The constants dominate the variance of their norm group,
so the last group norm is close to a fixed scale, and silu(x) - silu(-x) = x undoes the last activation. The remaining
channels keep their random weights. Training then spends its time on edges instead of on finding the colours.
"""
import torch

CONSTANT, ENERGY = 6.0, 2.0      # K; the typical R² + G² + B² of a sticker canvas in -1…1


def _spread(channels, groups):
    """The standard deviation that the group norm of the leading channels will see."""
    return ((2 * ENERGY + 2 * CONSTANT ** 2) / (channels // groups)) ** 0.5


def _enter(conv):
    """Makes a first convolution write the colour pairs and the constants."""
    conv.weight[:8].zero_()
    conv.bias[:8].zero_()
    for c in range(3):
        conv.weight[c, c, 1, 1], conv.weight[c + 3, c, 1, 1] = 1, -1
    conv.bias[6], conv.bias[7] = CONSTANT, -CONSTANT


def _leave(conv, scale):
    """Makes the first three outputs of a last convolution read the colour pairs."""
    conv.weight[:3].zero_()
    conv.bias[:3].zero_()
    for c in range(3):
        conv.weight[c, c, 1, 1], conv.weight[c, c + 3, 1, 1] = scale, -scale


def _pass(conv, taps):
    """Makes a convolution carry its leading channels through, averaging over the given kernel taps."""
    shared = min(conv.in_channels, conv.out_channels)
    conv.weight[:shared].zero_()
    conv.bias.zero_()
    for c in range(shared):
        for y, x in taps:
            conv.weight[c, c, y, x] = 1 / len(taps)


@torch.no_grad()
def initialise(vae):
    """Sets the weights of an AutoencoderKL as described above, in place, and returns it."""
    groups = vae.config.norm_num_groups
    for side in (vae.encoder, vae.decoder):
        blocks = side.down_blocks if side is vae.encoder else side.up_blocks
        for block in [*blocks, side.mid_block]:
            for resnet in block.resnets:
                resnet.conv2.weight.zero_()
                resnet.conv2.bias.zero_()
                if resnet.conv_shortcut is not None:
                    _pass(resnet.conv_shortcut, [(0, 0)])
            for sampler in getattr(block, "downsamplers", None) or []:
                _pass(sampler.conv, [(0, 0), (0, 1), (1, 0), (1, 1)])
            for sampler in getattr(block, "upsamplers", None) or []:
                _pass(sampler.conv, [(1, 1)])
        for attention in side.mid_block.attentions:
            attention.to_out[0].weight.zero_()
            attention.to_out[0].bias.zero_()
        _enter(side.conv_in)
        _leave(side.conv_out, _spread(side.conv_out.in_channels, groups))
    vae.encoder.conv_out.weight[4:].zero_()
    vae.encoder.conv_out.bias[4:] = -6.0
    for conv in (vae.quant_conv, vae.post_quant_conv):
        conv.weight.copy_(torch.eye(conv.in_channels)[:, :, None, None])
        conv.bias.zero_()
    return vae
