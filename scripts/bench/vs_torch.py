#!/usr/bin/env python3
"""The denoising loop of t2i beside PyTorch's: same safetensors, noise, text or labels, steps, guidance and dtype, in turn, in one run.

    scripts/bench/vs_torch.py --t2i build/t2i --json torch.json         on a machine with a GPU
    scripts/bench/vs_torch.py --check                                   the PyTorch model against diffusers', on the CPU
    scripts/bench/vs_torch.py --check --t2i build/t2i                   and its loop against t2i's, on the CPU in f32

The peer is the best of PyTorch's settings (attention backend x eager, one CUDA graph, compiled blocks in one CUDA graph). Before
a time counts, both sides are compared with the same loop in f32: cosine of the latents at least 0.999, our error at most 1.2
times theirs. Exit codes: 0 done, 1 a check failed, 2 usage, 4 no GPU or no PyTorch.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import torch
except ImportError:
    sys.exit(print("vs_torch: PyTorch is missing; pip install torch", file=sys.stderr) or 4)

sys.path.insert(0, str(Path(__file__).parent))
from peer_dit import DiT  # noqa: E402
from peer_parts import read_safetensors  # noqa: E402
from peer_pixart import PixArt  # noqa: E402

SAMPLE = 32           # latents are 32 x 32
GUIDANCE = 4.5        # PixArt's default
PEERS = {"PixArtTransformer2DModel": PixArt, "DiTTransformer2DModel": DiT}
COSINE, ERROR_RATIO = 0.999, 1.2  # what a time needs to count


def ddim_steps(count, train_steps=1000, beta_start=1e-4, beta_end=0.02):
    """(timestep, x0_from_x, x0_from_model, from_x, from_x0) of DDIM with leading spacing (Song et al. 2021, eq. 12)."""
    alphas = torch.cumprod(1 - torch.linspace(beta_start, beta_end, train_steps, dtype=torch.float32), 0).double()
    stride, steps = train_steps // count, []
    for i in reversed(range(count)):
        t = i * stride
        now, before = alphas[t].item(), alphas[t - stride].item() if t >= stride else 1.0
        direction = (1 - before) ** 0.5
        steps.append((t, now**-0.5, -((1 - now) ** 0.5) * now**-0.5, direction * (1 - now) ** -0.5,
                      before**0.5 - direction * (now / (1 - now)) ** 0.5))
    return steps


class Loop:
    """The denoising loop of one model for one batch size; step i reads its numbers from tensors, so one graph serves all.
    Picture i starts from the noise of seed i."""

    def __init__(self, model, batch, steps, text_tokens, device):
        self.model, self.batch = model, batch
        plan = ddim_steps(steps)
        with torch.no_grad():
            self.request = model.prepare(torch.tensor([s[0] for s in plan], device=device),
                                         model.random_condition(2 * batch, text_tokens), SAMPLE, SAMPLE)
        self.coefficients = torch.tensor([s[1:] for s in plan], dtype=torch.float32, device=device)
        noise = [torch.randn(4, SAMPLE, SAMPLE, generator=torch.Generator().manual_seed(i)) for i in range(batch)]
        self.noise = torch.stack(noise).to(device)
        self.x = self.noise.clone()
        self.index = torch.zeros(1, dtype=torch.long, device=device)
        self.graph = None

    def step(self):
        pick = lambda table: table.index_select(0, self.index)[0]
        out = self.model(torch.cat([self.x, self.x]), pick(self.request["modulations"]), pick(self.request["head"]), self.request)
        without, told = out[:, :4].float().chunk(2)
        guided = without + GUIDANCE * (told - without)
        c = pick(self.coefficients)
        x0 = c[0] * self.x + c[1] * guided
        self.x.copy_(c[2] * self.x + c[3] * x0)
        self.index += 1

    def capture(self):
        """One step as a CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.index.zero_()
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        self.index.zero_()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.step()

    @torch.no_grad()
    def run(self):
        self.x.copy_(self.noise)
        self.index.zero_()
        for _ in range(len(self.coefficients)):
            self.graph.replay() if self.graph else self.step()
        return self.x

    def times_ms(self, runs, warm_ups):
        times = []
        for run in range(-warm_ups, runs):
            torch.cuda.synchronize()
            start = time.perf_counter()
            self.run()
            torch.cuda.synchronize()
            if run >= 0:
                times.append((time.perf_counter() - start) * 1e3)
        return times


def load_model(folder, dtype, device):
    config = json.loads((Path(folder) / "config.json").read_text())
    model = PEERS[config["_class_name"]](config)
    model.load_state_dict(read_safetensors(Path(folder) / "diffusion_pytorch_model.safetensors"))
    return model.to(device, dtype).eval()


def attention_backends():
    from torch.nn.attention import SDPBackend
    return {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION}


def make_peer(model, compiled, graph, backend, shape):
    """A loop with this setting, warmed up; RuntimeError where PyTorch refuses it."""
    from torch.nn.attention import sdpa_kernel
    model.run_blocks_by((lambda block: torch.compile(block, dynamic=False)) if compiled else (lambda block: block))
    with torch.no_grad(), sdpa_kernel(backend):
        loop = Loop(model, **shape)
        if graph:
            loop.capture()
        else:
            loop.run()
        torch.cuda.synchronize()
    return loop


def best_peer(model, shape, deadline, report):
    """Tries PyTorch's settings; returns the quickest as (setting, attention backend, compiled, graph)."""
    from torch.nn.attention import sdpa_kernel
    tried = []

    def attempt(what, backend, compiled, graph):
        setting = f"{what}, {backend} attention"
        if time.monotonic() > deadline:
            report["settings"].append({"setting": setting, "skipped": "out of time"})
            return
        try:
            loop = make_peer(model, compiled, graph, attention_backends()[backend], shape)
            with sdpa_kernel(attention_backends()[backend]):
                times = loop.times_ms(5, 2)
        except Exception as error:  # a setting that this PyTorch refuses must not end the others
            reason = (str(error) or type(error).__name__).splitlines()[0]
            report["settings"].append({"setting": setting, "skipped": reason})
            return
        report["settings"].append({"setting": setting, "times_ms": times})
        tried.append((statistics.median(times), (setting, backend, compiled, graph)))

    for backend in attention_backends():
        attempt("one CUDA graph", backend, False, True)
    if not tried:
        raise RuntimeError("PyTorch ran with none of its attention backends: " + json.dumps(report["settings"]))
    best_backend = min(tried)[1][1]
    attempt("compiled, one CUDA graph", best_backend, True, True)
    attempt("eager", best_backend, False, False)
    return min(tried)[1]


def run_t2i(options, shape, folder, latents, device, dtype):
    """Raw times of one `t2i bench` in ms and None, or None and the line with which it refused."""
    with tempfile.NamedTemporaryFile(suffix=".json") as figures:
        command = [options.t2i, "bench", "--random", shape["model"], "--weights", folder, "--device", device, "--dtype", dtype,
                   "--steps", shape["steps"], "--cfg-scale", GUIDANCE, "--text-tokens", shape["text_tokens"] or 1,
                   "--batch-count", shape["batch"], "--runs", options.runs, "--warm-ups", options.warm_ups,
                   "--json", figures.name, "--save-latents", latents]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            return None, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        rows = json.loads(Path(figures.name).read_text())["rows"]
    return next(row["times_ms"] for row in rows if row["what"].startswith("denoise")), None


def quality(latents, reference):
    a, b = latents.double().flatten().cpu(), reference.double().flatten().cpu()
    return {"cosine": (a @ b / (a.norm() * b.norm())).item(), "relative_error": ((a - b).norm() / b.norm()).item()}


def percentiles(times):
    ordered = sorted(times)
    at = lambda share: ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
    return {"median_ms": statistics.median(times), "p10_ms": at(0.1), "p90_ms": at(0.9)}


def reference_latents(folder, loop_shape):
    """The same loop in f32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = load_model(folder, torch.float32, loop_shape["device"])
    latents = Loop(model, **loop_shape).run().clone()
    del model
    torch.cuda.empty_cache()
    return latents


def compare(options, shape, folder, deadline):
    """One row of the report."""
    from torch.nn.attention import sdpa_kernel
    report = {**shape, "settings": []}
    latents = str(Path(folder) / "latents.safetensors")
    ours, refused = run_t2i(options, shape, folder, latents, options.device, "bf16")  # writes the weights too
    if refused:
        return {**report, "skipped": refused}
    model = load_model(folder, torch.bfloat16, "cuda")
    loop_shape = {"batch": shape["batch"], "steps": shape["steps"], "text_tokens": shape["text_tokens"],
                  "device": "cuda"}
    reference = reference_latents(folder, loop_shape)
    setting, backend, compiled, graph = best_peer(model, loop_shape, deadline, report)
    loop = make_peer(model, compiled, graph, attention_backends()[backend], loop_shape)
    theirs = []
    with sdpa_kernel(attention_backends()[backend]):
        for turn in range(options.rounds):
            theirs += loop.times_ms(options.runs, options.warm_ups)
            if turn + 1 < options.rounds:
                again, refused = run_t2i(options, shape, folder, latents, options.device, "bf16")
                if refused:
                    return {**report, "skipped": refused}
                ours += again
        report["torch"] = {"setting": setting, "times_ms": theirs, **percentiles(theirs), **quality(loop.run(), reference)}
    report["t2i"] = {"times_ms": ours, **percentiles(ours), **quality(read_safetensors(latents)["latents"], reference)}
    report["speedup"] = report["torch"]["median_ms"] / report["t2i"]["median_ms"]
    report["counts"] = (report["t2i"]["cosine"] >= COSINE and
                        report["t2i"]["relative_error"] <= ERROR_RATIO * report["torch"]["relative_error"])
    del loop, model
    torch.cuda.empty_cache()
    return report


def print_row(row):
    name = f"{row['model']}, batch {row['batch']}, {row['steps']} steps"
    if row["text_tokens"]:
        name += f", {row['text_tokens']} text tokens"
    if "skipped" in row:
        print(f"{name}: skipped: {row['skipped']}")
        return
    for side in ("t2i", "torch"):
        r = row[side]
        print(f"{name}: {side:5} {r['median_ms']:9.2f} ms ({r['p10_ms']:.2f} … {r['p90_ms']:.2f}), cosine {r['cosine']:.6f}, "
              f"error {r['relative_error']:.2e}" + (f", {r['setting']}" if side == "torch" else ""))
    print(f"{name}: {row['speedup']:.2f} times PyTorch" + ("" if row["counts"] else "; DOES NOT COUNT: too far from f32"))


def small(theirs, peer, config):
    """Both sides of one model with the same random weights."""
    model = theirs(**config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    ours = peer(config)
    ours.load_state_dict(model.state_dict())
    return model, ours


def difference(expected, ours, latents, request):
    actual = ours(latents, request["modulations"][1], request["head"][1], request)
    return ((actual - expected).norm() / expected.norm()).item()


def check_pixart(transformer, heads, size, patch, out_channels, shape, lengths):
    """Relative difference from diffusers, masked text included."""
    config = dict(num_attention_heads=heads, attention_head_dim=size, in_channels=4, out_channels=out_channels, num_layers=3,
                  cross_attention_dim=heads * size, caption_channels=24, patch_size=patch, sample_size=32, norm_eps=1e-6,
                  interpolation_scale=1, use_additional_conditions=False)
    theirs, ours = small(transformer, PixArt, config)
    x, text = torch.randn(shape), torch.randn(shape[0], 30, 24)
    mask = torch.tensor([[1] * n + [0] * (30 - n) for n in lengths])
    expected = theirs(x, encoder_hidden_states=text, timestep=torch.tensor([421] * shape[0]), encoder_attention_mask=mask,
                      added_cond_kwargs={"resolution": None, "aspect_ratio": None}).sample
    return difference(expected, ours, x, ours.prepare(torch.tensor([999, 421]), text, *shape[2:], lengths))


def check_dit(transformer, heads, size, patch, out_channels, shape, labels):
    """Relative difference from diffusers, the unconditional label included."""
    config = dict(num_attention_heads=heads, attention_head_dim=size, in_channels=4, out_channels=out_channels, num_layers=3,
                  patch_size=patch, sample_size=shape[2], norm_eps=1e-3, num_embeds_ada_norm=10)
    theirs, ours = small(transformer, DiT, config)
    x, labels = torch.randn(shape), torch.tensor(labels)
    expected = theirs(x, timestep=torch.tensor([421] * shape[0]), class_labels=labels).sample
    return difference(expected, ours, x, ours.prepare(torch.tensor([999, 421]), labels, *shape[2:]))


@torch.no_grad()
def check_against_diffusers():
    """The PyTorch models must equal diffusers' in f32. Returns an exit code."""
    try:
        from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel
    except ImportError:
        print("vs_torch: --check needs diffusers", file=sys.stderr)
        return 4
    torch.manual_seed(0)
    found = {"PixArt": max(check_pixart(PixArtTransformer2DModel, 2, 8, 2, 8, (2, 4, 8, 8), [5, 30]),
                           check_pixart(PixArtTransformer2DModel, 3, 72, 4, 4, (1, 4, 16, 32), [30])),
             "DiT": max(check_dit(DiTTransformer2DModel, 2, 24, 2, 8, (3, 4, 8, 8), [3, 10, 0]),
                        check_dit(DiTTransformer2DModel, 3, 72, 4, 4, (1, 4, 32, 32), [9]))}
    for name, worst in found.items():
        print(f"{name}: largest relative difference from diffusers {worst:.1e}")
    return 0 if max(found.values()) < 1e-5 else 1


def check_against_t2i(options, model):
    """The same loop on both sides, on the CPU in f32: same weights, noise, text or labels, steps and guidance. Returns an exit code."""
    shape = {"model": model, "batch": 2, "steps": 4, "text_tokens": 7}
    with tempfile.TemporaryDirectory(prefix="t2i-bench-") as folder:
        latents = str(Path(folder) / "latents.safetensors")
        _, refused = run_t2i(options, shape, folder, latents, "cpu", "f32")
        if refused:
            print(f"vs_torch: {refused}", file=sys.stderr)
            return 1
        loop = Loop(load_model(folder, torch.float32, "cpu"), shape["batch"], shape["steps"], shape["text_tokens"], "cpu")
        found = quality(read_safetensors(latents)["latents"], loop.run())
    print(f"{model}: relative difference of latents from t2i's {found['relative_error']:.1e}")
    return 0 if found["relative_error"] < 1e-3 else 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--t2i", help="the binary (default: build/t2i)")
    parser.add_argument("--device", default="cuda", help="t2i's")
    parser.add_argument("--models", default="pixart-xl-2,dit-xl-2", help="shapes of `t2i bench --random`")
    parser.add_argument("--batches", default="1,32", help="pictures at a time")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--text-tokens", type=int, default=120)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--warm-ups", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2, help="times that the sides take turns")
    parser.add_argument("--seconds", type=float, default=480, help="no new setting is tried after this long")
    parser.add_argument("--json", help="write raw times and settings to this file")
    parser.add_argument("--check", action="store_true", help="on the CPU: is the PyTorch side right? Then stop")
    return parser.parse_args()


def main():
    options = parse_arguments()
    if options.check:
        models = ("pixart-tiny", "dit-tiny") if options.t2i else ()
        return check_against_diffusers() or max((check_against_t2i(options, model) for model in models), default=0)
    options.t2i = options.t2i or "build/t2i"
    if not torch.cuda.is_available():
        print("vs_torch: PyTorch finds no GPU", file=sys.stderr)
        return 4
    begin, rows = time.monotonic(), []
    cells = [(model, int(batch)) for model in options.models.split(",") for batch in options.batches.split(",")]
    for i, (model, batch) in enumerate(cells):
        shape = {"model": model, "batch": batch, "steps": options.steps, "text_tokens": 0 if model.startswith("dit") else options.text_tokens}
        deadline = begin + options.seconds * (i + 0.7) / len(cells)
        if time.monotonic() - begin > options.seconds:
            rows.append({**shape, "skipped": "out of time"})
        else:
            with tempfile.TemporaryDirectory(prefix="t2i-bench-") as folder:
                rows.append(compare(options, shape, folder, deadline))
        print_row(rows[-1])
        if options.json:
            Path(options.json).write_text(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                                                      "cuda": torch.version.cuda, "rows": rows}, indent=1) + "\n")
    return 0 if all(row.get("counts", True) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
