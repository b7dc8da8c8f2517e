"""Stage 5: experiments on a captioner and audio give evidence."""
