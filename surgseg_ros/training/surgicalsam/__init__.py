"""SurgicalSAM: a mask for each class that is asked for, on cached features or end to end."""
