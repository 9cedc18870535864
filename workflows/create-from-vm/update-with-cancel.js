/* Says in the image that it is not being made any more. */
function updateWithCancel(job, cb) {
    var error = { message: 'image creation was canceled', code: 'Canceled' };
    failImage(job, job.params.image_uuid, error, Date.now() + 55000, function (err) {
        cb(err, 'Image updated with cancellation');
    });
}
