"""What users of the API hand in: pictures, videos, cameras."""
