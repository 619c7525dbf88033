"""Discriminators: what tells made pictures, or latents, from true ones, and so teaches to make what an average of them never is."""
import torch
import torch.nn.functional as F
from torch.nn.utils.parametrizations import spectral_norm


class Patches(torch.nn.Module):
    """A patch discriminator (Isola et al. 2017) with spectral norm (Miyato et al. 2018): one score a patch.

    told: columns of a condition [B, told] that the scores depend on by its product with the features (Miyato and Koyama 2018); 0: none.
    """

    def __init__(self, inputs, width, levels, told=0):
        super().__init__()
        widths = [inputs, *(width * 2 ** k for k in range(levels))]
        self.layers = torch.nn.ModuleList(spectral_norm(torch.nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in zip(widths, widths[1:]))
        self.score = spectral_norm(torch.nn.Conv2d(widths[-1], 1, 3, padding=1))
        self.told = spectral_norm(torch.nn.Linear(told, widths[-1])) if told else None

    def forward(self, x, condition=None):
        """x: [B, inputs, H, W]; condition: [B, told]. Returns scores [B, 1, h, w], positive where x looks true."""
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        scores = self.score(x)
        if self.told is not None:
            scores = scores + (x * self.told(condition)[:, :, None, None]).sum(1, keepdim=True)
        return scores


class Adversary:
    """A discriminator with its optimizer, trained in turns with what it judges by the hinge loss.

    options: {"weight": of its term, "width", "levels", "learning_rate", "from": share of the examples after which its term counts; until
    then it only watches}.
    """

    def __init__(self, inputs, options, device, told=0):
        self.options = options
        self.judge = Patches(inputs, options["width"], options["levels"], told).to(device)
        self.optimizer = torch.optim.AdamW(self.judge.parameters(), lr=options["learning_rate"], betas=(0.0, 0.99), weight_decay=0.0)

    def watch(self, true, made, *condition):
        """One step of the discriminator; returns how often it is right."""
        real, false = self.judge(true, *condition), self.judge(made.detach(), *condition)
        loss = F.relu(1 - real).mean() + F.relu(1 + false).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(((real > 0).float().mean() + (false < 0).float().mean()) / 2)

    def term(self, made, progress, *condition):
        """What the maker's loss gets, a scalar; progress: share of the examples done, in 0…1."""
        if progress < self.options["from"]:
            return 0.0
        for parameter in self.judge.parameters():
            parameter.requires_grad_(False)
        term = -self.options["weight"] * self.judge(made, *condition).mean()
        for parameter in self.judge.parameters():
            parameter.requires_grad_(True)
        return term

    def state(self):
        """A dictionary for a checkpoint."""
        return {"judge": self.judge.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, saved):
        """Takes up a saved state."""
        self.judge.load_state_dict(saved["judge"])
        self.optimizer.load_state_dict(saved["optimizer"])
