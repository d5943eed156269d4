"""Instances: SOLO and FASSST, judged by COCO's average precision."""
