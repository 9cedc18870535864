/* Says in the image why it could not be made. */
function updateWithError(job, cb) {
    failImage(job, job.params.image_uuid, reasonOf(job), Date.now() + 55000, function (err) {
        cb(err, 'Image updated with publishing error');
    });
}
