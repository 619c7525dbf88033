"""Takes the caches of a larger vocabulary's work folder for a smaller one, so that nothing is decoded or encoded twice."""
import numpy as np

import data
import latents as cache


def gather(source, places, out):
    """Writes source[places] to the file `out`, a row at a time: the arrays are larger than what one would hold in memory."""
    temporary = out.with_suffix(".tmp.npy")
    copy = np.lib.format.open_memmap(temporary, mode="w+", dtype=source.dtype, shape=(len(places), *source.shape[1:]))
    for index, place in enumerate(places):
        copy[index] = source[place]
    copy.flush()
    temporary.rename(out)


def run(config, _device=None):
    """Fills the work folder with pictures.npy, latents.npy and grounds.npy of the chosen groups from the work folder `from`.

    `from` holds the caches of every group of the same sets. Latents are taken where their columns are finished; the stage latents goes on
    from there. Raises ValueError where `from` holds other pictures or latents are here already.
    """
    folder, work = config["from"], config["work"]
    chosen = {row["file"] for row in data.rows(config)}
    every = data.rows(config, every_group=True)
    places = [index for index, row in enumerate(every) if row["file"] in chosen]
    pictures = np.load(folder / "pictures.npy", mmap_mode="r")
    if len(pictures) != len(every):
        raise ValueError(f"{folder} holds {len(pictures)} pictures, the sets of this configuration {len(every)}")
    if (work / "latents.done").exists():
        raise ValueError(f"{work} has latents already")
    gather(pictures, places, work / "pictures.npy")
    whole = {"work": folder, "latents": config["latents"]}
    columns = cache.finished(whole, len(every))
    gather(np.load(folder / "latents.npy", mmap_mode="r"), places, work / "latents.npy")
    np.save(work / "grounds.npy", cache.grounds(whole, len(every))[places].numpy())
    (work / "latents.done").write_text(str(columns * len(places)))
    print(f"{len(places)} of {len(every)} pictures, {columns} canvases of each encoded", flush=True)
