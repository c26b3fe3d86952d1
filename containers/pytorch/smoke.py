"""Trains a model for a few steps, so that the image is known to work."""

import torch

torch.manual_seed(0)
features = torch.randn(256, 8)
labels = (features.sum(dim=1, keepdim=True) > 0).float()
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
for _ in range(40):
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(features), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
accuracy = ((model(features) > 0) == (labels > 0)).float().mean().item()
assert accuracy > 0.9, accuracy
print(f"PyTorch {torch.__version__} works: {accuracy:.3f}, {torch.cuda.device_count()} GPUs")
