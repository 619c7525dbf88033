"""A head start for the denoiser: the text warm-up's linear picture, written into the transformer's weights.

The warm-up leaves a linear map from pooled text to a whole latent picture. A fresh transformer would need a long time
to find such a map again, since it must come out of units that are gated by the position. This module builds them:

- the first cross-attention attends evenly, and so adds the pooled text to every token;
- the first MLP turns the smooth position embedding into a one-hot row and a one-hot column;
- hidden units of the next MLPs come in pairs gelu(B + s) - gelu(B - s) = 2s, with s a linear reading of the text, opened by
  the one-hots at one position only (B there, -B or less anywhere else);
- each pair adds one singular direction of that position's map, so that the tokens become x_t - x̂_0;
- the time embedding scales the result by F(t), the least-squares factor toward the velocity noise - x_0.

Everything else starts as the identity. The parts live in orthogonal subspaces of the residual stream.
"""
import torch


OPEN = 4.0             # B, the bias of an open unit; closed units sit at -B and -3B
SHARPNESS = 24.0       # gain of the steps that read off rows and columns, per unit of the coordinate
NOISE_SCALE = 0.25     # how strongly a patch enters the residual stream, whose position embedding has norm² 128
PLACE_ENERGY = 45.0    # squared norm of the one-hots, and what levels the norm of the position embedding
TEXT_ENERGY = 8.0      # squared norm given to the text in the residual stream


def pooled_moment(encoder, batches):
    """Second moment [C+1, C+1] of pooled text with a 1 appended; batches: list of (ids, mask), each [B, L]."""
    total, count = 0, 0
    for ids, mask in batches:
        weights = mask.float()[..., None]
        pooled = (encoder(ids, mask) * weights).sum(1) / weights.sum(1)
        pooled = torch.cat([pooled, torch.ones(len(pooled), 1)], 1).double()
        total, count = total + pooled.T @ pooled, count + len(pooled)
    return total / count


def patch_maps(head, patch):
    """The warm-up head [4*32*32, C] with its bias, as one map per position [N, patch*patch*4, C+1]."""
    size = 32 // patch
    full = torch.cat([head["weight"], head["bias"][:, None]], 1).double()
    full = full.view(4, size, patch, size, patch, -1).permute(1, 3, 2, 4, 0, 5)
    return full.reshape(size * size, patch * patch * 4, -1)


def factor(t, unexplained):
    """F(t), the least-squares factor from x_t - x̂_0 to the velocity, x̂_0 leaving a share `unexplained` of the variance."""
    known = 1 - unexplained
    return (t + t * known - (1 - t) * unexplained) / (t ** 2 * (1 + known) + (1 - t) ** 2 * unexplained)


def subspaces(positions, patch_width):
    """Orthonormal bases in the residual stream, for position embeddings [N, D], given centred over D.

    Returns (basis of the patch [D, patch_width], of the one-hots [D, 2 * side], of the text [D, rest]), all orthogonal to
    one another, to the position embeddings and to the all-ones vector, which a layer norm removes.
    """
    count, width = positions.shape
    _, strength, directions = torch.linalg.svd(positions, full_matrices=True)
    rank = int((strength > 1e-3 * strength[0]).sum())
    ones = torch.full((1, width), width ** -0.5, dtype=positions.dtype)
    taken = torch.cat([directions[:rank], ones])
    rest = torch.linalg.svd(taken, full_matrices=True)[2][len(taken):].T
    return rest.split([patch_width, 2 * int(count ** 0.5), rest.shape[1] - patch_width - 2 * int(count ** 0.5)], 1)


def place(feed, positions, basis, energy):
    """Writes one-hot rows and columns into an MLP's first units; returns (their amplitudes [2, side], token scale).

    positions: centred embeddings [N, D]; basis: [D, 2 * side]; energy: squared norm of everything else in a token.
    The amplitudes level the norm of the tokens, so that later layer norms scale every position alike.
    """
    count, width = positions.shape
    side = int(count ** 0.5)
    squares = positions.square().sum(1)
    tokens = positions / ((squares + energy) / width).sqrt()[:, None]
    design = torch.cat([tokens, torch.ones(count, 1, dtype=torch.double)], 1)
    ridge = design.T @ design + 0.1 * torch.eye(width + 1, dtype=torch.double)
    level = (squares.max() + PLACE_ENERGY - squares).view(side, side)
    amplitudes = torch.stack([level.mean(1), level.mean(0)]) - level.mean() / 2
    amplitudes = amplitudes.sqrt()
    feed.net[0].proj.weight[:4 * (side - 1)].zero_()
    feed.net[2].weight.zero_()
    for axis in range(2):
        coordinate = (torch.arange(count) // side if axis == 0 else torch.arange(count) % side).double()
        reading = torch.linalg.solve(ridge, design.T @ coordinate)
        for step in range(side - 1):
            change = amplitudes[axis, step + 1] * basis[:, axis * side + step + 1] - \
                amplitudes[axis, step] * basis[:, axis * side + step]
            for end in range(2):
                unit = (axis * (side - 1) + step) * 2 + end
                feed.net[0].proj.weight[unit] = SHARPNESS * reading[:-1]
                feed.net[0].proj.bias[unit] = SHARPNESS * (reading[-1] - step - 0.5) + (OPEN if end == 0 else -OPEN)
                feed.net[2].weight[:, unit] = change / (2 * OPEN) * (1 if end == 0 else -1)
    start = amplitudes[0, 0] * basis[:, 0] + amplitudes[1, 0] * basis[:, side]
    feed.net[2].bias.copy_(start)
    return amplitudes, ((squares.max() + PLACE_ENERGY + energy) / width) ** 0.5


def gates(amplitudes, basis, scale):
    """Readings [N, D] of a normalised token that, with a bias of -3B, give B at the own position and -B or -3B elsewhere."""
    side = amplitudes.shape[1]
    axes = (2 * OPEN * scale * basis / amplitudes.flatten()).T
    return (axes[:side, None] + axes[None, side:]).flatten(0, 1)


@torch.no_grad()
def implant(model, head, moment, options):
    """Writes the warm-up head into a PixArtTransformer2DModel whose output is patch-wise velocity, in place.

    head: {"weight", "bias"} of the warm-up; moment: from pooled_moment(); options: {"layers", "unexplained"}, `layers`
    being how many MLPs after the first are written. Returns the share of the map's energy that fitted in.
    """
    patch, width = model.config.patch_size, model.inner_dim
    maps = patch_maps(head, patch)
    count, patch_width = maps.shape[:2]
    positions = model.pos_embed.pos_embed[0].double()
    positions = positions - positions.mean(1, keepdim=True)
    noise_basis, place_basis, text_basis = subspaces(positions, patch_width)
    values, vectors = torch.linalg.eigh(moment)
    kept = vectors[:, values.argsort(descending=True)[:text_basis.shape[1]]]
    energy = (kept.T @ moment @ kept).diagonal()
    text_scale = (TEXT_ENERGY / energy.sum()) ** 0.5
    text_basis = text_basis[:, :kept.shape[1]]

    kernel = (NOISE_SCALE * noise_basis).view(width, patch, patch, 4).permute(0, 3, 1, 2)
    model.pos_embed.proj.weight.copy_(kernel)
    model.pos_embed.proj.bias.zero_()
    first, second = model.caption_projection.linear_1, model.caption_projection.linear_2
    first.weight.copy_(0.5 * torch.eye(width, first.in_features))
    first.bias.fill_(OPEN)
    second.weight.copy_(2 * torch.eye(width))
    second.bias.fill_(-2 * OPEN)
    model.adaln_single.linear.weight.zero_()
    model.adaln_single.linear.bias.zero_()
    for block in model.transformer_blocks:
        block.scale_shift_table.zero_()
        block.scale_shift_table[[2, 5]] = 1
        for layer in (block.attn1.to_out[0], block.attn2.to_out[0], block.ff.net[2]):
            layer.weight.zero_()
            layer.bias.zero_()
    cross = model.transformer_blocks[0].attn2
    cross.to_q.weight.zero_()
    cross.to_v.weight.copy_(torch.eye(width))
    cross.to_out[0].weight.copy_(text_scale * text_basis @ kept[:-1].T)
    cross.to_out[0].bias.copy_(text_scale * text_basis @ kept[-1])

    amplitudes, scale = place(model.transformer_blocks[0].ff, positions, place_basis,
                              patch_width * NOISE_SCALE ** 2 + TEXT_ENERGY)
    left, strength, right = torch.linalg.svd(maps @ kept * energy.sqrt(), full_matrices=False)
    reading = (right / energy.sqrt()) @ text_basis.T * (scale / text_scale)
    opening = gates(amplitudes, place_basis, scale)
    per_layer = model.transformer_blocks[0].ff.net[0].proj.out_features // (2 * count)
    for layer in range(options["layers"]):
        feed = model.transformer_blocks[layer + 1].ff
        which = slice(layer * per_layer, (layer + 1) * per_layer)
        read, write = reading[:, which], (left * strength[:, None])[..., which].transpose(1, 2)
        units = torch.cat([opening[:, None] + read, opening[:, None] - read], 1)
        output = 0.5 * NOISE_SCALE * write @ noise_basis.T
        feed.net[0].proj.weight.copy_(units.reshape(-1, width))
        feed.net[0].proj.bias.fill_(-3 * OPEN)
        feed.net[2].weight.copy_(torch.cat([-output, output], 1).reshape(-1, width).T)

    embedder = model.adaln_single.emb
    t = torch.linspace(0.02, 1, 400)
    hidden = embedder.timestep_embedder.act(embedder.timestep_embedder.linear_1(embedder.time_proj(t * 1000))).double()
    hidden = torch.cat([hidden, torch.ones(len(t), 1)], 1)
    target = factor(t.double(), options["unexplained"]) - 1
    solution = torch.linalg.solve(hidden.T @ hidden + 1e-3 * torch.eye(hidden.shape[1]), hidden.T @ target)
    embedder.timestep_embedder.linear_2.weight.copy_(solution[:-1].expand(width, -1))
    embedder.timestep_embedder.linear_2.bias.fill_(solution[-1])
    model.scale_shift_table.zero_()
    model.proj_out.weight.copy_(scale / NOISE_SCALE * noise_basis.T)
    model.proj_out.bias.zero_()
    return float((strength[:, :options["layers"] * per_layer] ** 2).sum() / (strength ** 2).sum())
