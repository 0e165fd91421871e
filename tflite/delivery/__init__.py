"""From a manifest to an app: which file to take, the folder to hand over, an AI pack for Play."""
