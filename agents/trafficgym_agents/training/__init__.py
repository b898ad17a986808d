"""What training scripts share around their loops: a folder that resumes, budgets, schedules, workers, checkpoints."""
