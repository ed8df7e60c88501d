"""The bench's model in PyTorch, spoken to as tools/bench/train/protocol.ts says. Its one argument is the job as JSON."""

import json
import math
import sys
import time


def say(reply):
    print(json.dumps(reply), flush=True)


def main(job):
    import torch
    from torch.nn import functional as F

    if job.get("threads"):
        torch.set_num_threads(job["threads"])
    model, rows = job["model"], job["batchSize"]
    heads, length, layers = model["nHead"], model["blockSize"], model["nLayer"]

    def numbers(file, dtype):
        with open(file, "rb") as stream:
            return torch.frombuffer(bytearray(stream.read()), dtype=dtype)

    weights, values, start = {}, numbers(job["weights"], torch.float32), 0
    for parameter in job["parameters"]:
        size = math.prod(parameter["shape"])
        part = values[start : start + size].reshape(parameter["shape"]).clone()
        weights[parameter["name"].removeprefix("transformer.")] = part.requires_grad_()
        start += size
    batches = numbers(job["batches"], torch.int32).long().reshape(-1, 2, rows, length)

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], weights[name + ".weight"])

    def linear(x, name):
        return x @ weights[name + ".weight"]

    def attention(x, name):
        parts = linear(x, name + ".c_attn").chunk(3, dim=-1)
        q, k, v = (part.view(rows, length, heads, -1).transpose(1, 2) for part in parts)
        heard = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return linear(heard.transpose(1, 2).flatten(2), name + ".c_proj")

    def mlp(x, name):
        return linear(F.gelu(linear(x, name + ".c_fc"), approximate="tanh"), name + ".c_proj")

    def loss_of(inputs, targets):
        x = F.embedding(inputs, weights["wte.weight"]) + weights["wpe.weight"]
        for i in range(layers):
            x = x + attention(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn")
            x = x + mlp(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp")
        logits = norm(x, "ln_f") @ weights["wte.weight"].T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    tensors = list(weights.values())
    groups = [
        {"params": [x for x in tensors if x.dim() > 1], "weight_decay": job["weightDecay"]},
        {"params": [x for x in tensors if x.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=job["learningRate"], betas=tuple(job["betas"]), eps=job["eps"], fused=True
    )
    done = 0

    def step():
        nonlocal done
        inputs, targets = batches[done % len(batches)]
        done += 1
        loss = loss_of(inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tensors, job["clip"])
        optimizer.step()
        return loss.item()

    say({"answer": sum(x.numel() for x in tensors)})
    for line in sys.stdin:
        ask = json.loads(line)["ask"]
        milliseconds, losses = [], []
        for i in range(ask["untimed"] + ask["count"]):
            start = time.perf_counter()
            losses.append(step())
            if i >= ask["untimed"]:
                milliseconds.append(1000 * (time.perf_counter() - start))
        say({"answer": {"milliseconds": milliseconds, "losses": losses}})


try:
    main(json.loads(sys.argv[1]))
except Exception as error:
    say({"error": f"{type(error).__name__}: {error}"})
